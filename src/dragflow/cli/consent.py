"""`dragflow edit --from`: what the recipe asks for, said before anything of it is loaded, and the person's answer."""

from __future__ import annotations

import sys
from pathlib import Path

from dragflow.cli.terminal import complain, console, emit
from dragflow.core.errors import Cancelled
from dragflow.core.models import ModelOptions
from dragflow.core.result import Recipe
from dragflow.core.text import one_line
from dragflow.service.consent import asks, unchosen

_SHOWN = 200
"""Characters of a value that are shown."""


def allowed(file: Path, recipe: Recipe, model: ModelOptions, *, as_json: bool) -> bool:
    """Say what a recipe asks for; ask the person at the terminal whether to load what no option names.

    False where nobody can be asked, or need be.

    Raises:
        Cancelled: the person says no.
    """
    if as_json:
        emit({"event": "recipe", **asks(recipe)})
        return False
    complain(one_line(f"{file} asks for"))
    for name, value in asks(recipe).items():
        for one in value if isinstance(value, tuple) else (value,):
            complain(one_line(f"  {name.replace('_', ' ')}: {one}")[:_SHOWN])
    if not unchosen(recipe, model) or not sys.stdin.isatty():
        return False
    from rich.prompt import Confirm

    question = "Load this, from where the recipe says"
    if not Confirm.ask(question, default=False, console=console(stderr=True)):
        raise Cancelled("nothing of the recipe was loaded")
    return True
