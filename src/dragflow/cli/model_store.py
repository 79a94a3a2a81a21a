"""`dragflow model use | add | download | remove`: the user's default model, short names, and what the disk holds."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dragflow.cli.options import ForceArg, ModelArgs, refuse_unused
from dragflow.cli.terminal import console, say
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.models import BUILT_IN, VARIABLE, ModelOptions
from dragflow.core.text import file_size

if TYPE_CHECKING:
    from dragflow.backbones.hub_cache import Kept

NameArg = Annotated[str, Parameter(name="NAME")]


def use(name: NameArg, /) -> None:
    """Choose the model that is used where none is named, by every command, the studio and the library.

    Parameters
    ----------
    name
        A short name of yours, a built-in model, a hub id, or a folder or file.
    """
    from dragflow.backbones import hub_cache as cache
    from dragflow.files.model_list import write_user_models
    from dragflow.files.models import user_models

    kept = user_models()
    chosen = name if name in kept.models or name in BUILT_IN else _place(name)
    write_user_models(replace(kept, use=chosen))
    say(f"{chosen} is used where no model is named")
    if (other := os.environ.get(VARIABLE)) not in (None, "", chosen):
        say(f"but ${VARIABLE} names {other} in this shell, which wins")
    model = str(kept.models[chosen].model) if chosen in kept.models else chosen
    if model in BUILT_IN or Path(model).exists():
        return
    held = cache.kept(model)
    if held is None or held.lacking is not None:
        what = "it" if held is None else f"{held.lacking} of it"
        say(f"{what} is not on this disk yet: dragflow model download {chosen}")


def add(
    name: NameArg,
    place: Annotated[str, Parameter(name="ID_OR_FOLDER_OR_FILE")],
    /,
    *,
    model: ModelArgs = ModelOptions(),
    force: ForceArg = False,
) -> None:
    """Give a model a short name, which keeps the options that it is loaded with; options that are given later win.

    Parameters
    ----------
    name
        The short name, for --model.
    place
        A hub id, or the folder or file of a model.
    force
        Replace a short name that exists.
    """
    from dragflow.backbones.model_file import is_file
    from dragflow.files.model_list import placed, write_user_models
    from dragflow.files.models import check_short_name, user_models

    if model.model is not None:
        refuse_unused(["model"], "the model is named after its short name, as in `dragflow model add NAME FOLDER`")
    kept = user_models()
    if check_short_name(name) in kept.models and not force:
        raise UserError(f"{name} is {kept.models[name].model} already: choose another short name, or add --force")
    options = placed(replace(model, model=_place(place)))
    is_file(options)  # `parts` and `model_root` have a meaning of a file only
    write_user_models(replace(kept, models={**kept.models, name: options}))
    say(f"{name}: {options.model}")
    say(f"use it by --model {name}, or for good by `dragflow model use {name}`")


def download(name: NameArg, /, *, revision: str | None = None) -> None:
    """Download a model into the hub's cache: licence and size first, resumed where an earlier download ended.

    Parameters
    ----------
    name
        A hub id, or a short name of yours; of a model that is a file, what it lacks is downloaded.
    revision
        Commit, tag or branch on the hub. [default: the newest, or what is kept with the short name]
    """
    from dragflow.backbones.hub_cache import kept
    from dragflow.backbones.registry import source_of
    from dragflow.files.models import settled_model

    options = settled_model(ModelOptions(name, revision=revision))
    if options.model in BUILT_IN:
        raise UserError(f"{options.model} comes with dragflow: nothing is downloaded")
    try:
        source = source_of(options)
    except KeyboardInterrupt as interrupt:
        raise Cancelled("what was downloaded is kept, the same command resumes it") from interrupt
    held = kept(options.name)
    size = "" if held is None else f", {file_size(held.size)}"
    say(f"{name} is on this disk{size}: {source.folder}")


def remove(name: NameArg, /, *, yes: bool = False) -> None:
    """Delete what the hub's cache holds of a model, and forget a short name; never a file or folder of yours.

    Parameters
    ----------
    name
        A short name of yours, or a hub id.
    yes
        Delete without asking.
    """
    from dragflow.backbones import hub_cache as cache
    from dragflow.files.models import user_models

    kept = user_models()
    model = str(kept.models[name].model) if name in kept.models else name
    if model in BUILT_IN:
        raise UserError(f"{model} comes with dragflow: it is not removed")
    shared = [other for other, options in kept.models.items() if options.model == model and other != name]
    held = None if Path(model).exists() or shared else cache.kept(model)
    if name not in kept.models and held is None:
        if Path(model).exists():
            raise UserError(f"{name} is a file or folder of yours: dragflow deletes none")
        also = f", and {', '.join(shared)} is a short name of it: remove that" if shared else ""
        raise UserError(f"nothing of {name} is removed: it is no short name, or not in the hub's cache{also}")
    if held is not None:
        _delete(model, held, yes=yes)
    if name in kept.models:
        _forget(name)


def _delete(model: str, held: Kept, *, yes: bool) -> None:
    """Delete a model of the hub's cache, after asking."""
    from rich.prompt import Confirm

    from dragflow.backbones import hub_cache
    from dragflow.backbones.hub_room import place_of

    place = place_of(model)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"{file_size(held.size)} in {place} would be deleted, and nobody can be asked: add --yes")
        question = f"Delete {file_size(held.size)} of {model} in {place}, which other programs may use, too"
        if not Confirm.ask(question, default=False, console=console(stderr=True)):
            raise Cancelled("nothing was removed")
    hub_cache.remove(model)
    say(f"{model}: {file_size(held.size)} deleted in {place}")


def _forget(name: str) -> None:
    from dragflow.files.model_list import write_user_models
    from dragflow.files.models import user_models

    kept = user_models()
    model = str(kept.models[name].model)
    others = {other: options for other, options in kept.models.items() if other != name}
    write_user_models(replace(kept, models=others, use=None if kept.use == name else kept.use))
    say(f"{name} is no longer a short name" + (f"; {model} stays where it is" if Path(model).exists() else ""))
    if kept.use == name:
        say("no model is chosen any more: `dragflow model use NAME` chooses one")


def _place(name: str) -> str:
    """A hub id as it is, and what exists on this disk in full.

    Raises:
        UserError: neither.
    """
    from dragflow.backbones.hub import folder_of

    if Path(name).is_file() or folder_of(name) is not None:
        return str(Path(name).absolute())
    return name
