"""Every command of the pages is one that the program takes, and the ones that people begin with run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragflow.cli.app import app, written_out

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("comfyui/*.md"), *ROOT.glob("docs/**/*.md")])


def shell_lines(page: Path) -> Iterator[str]:
    """The lines of a page's shell blocks, with what they set filled in; those that end in a backslash go on."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        joined = re.sub(r"\$\([^()]*\)", "OUTPUT", re.sub(r"\\\n\s*", " ", block))
        known = {name: " ".join(value.split()) for name, value in re.findall(r'^(\w+)="(.*?)"$', joined, re.M | re.S)}
        for line in joined.splitlines():
            yield re.sub(r"\$(\w+)", lambda found, known=known: known.get(found[1], found[0]), line)


def arguments(line: str) -> list[str] | None:
    """Those of `dragflow` in a line; None where it starts another program."""
    if "dragflow" not in line:
        return None
    words = shlex.split(line, comments=True)
    at = next((i for i, word in enumerate(words) if Path(word).name == "dragflow"), None)
    return None if at is None or (at and words[at - 1] not in ("|", "&&", "run", "time")) else words[at + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_program_takes_every_command_of_a_page(page: Path) -> None:
    for line in shell_lines(page):
        if given := arguments(line):
            app.parse_args(written_out(given), exit_on_error=False, print_error=False)
