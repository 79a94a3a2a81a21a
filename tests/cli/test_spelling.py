"""Options in sentences: the library names them in backquotes, the command line alone spells them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dragflow
from dragflow.cli.spelling import spelled

SOURCE = Path(dragflow.__file__).parent
COMMANDS = {"train/main.py", "bench/report/commands.py", "backbones/torch_build.py"}
"""A command line of its own, and the commands of other programs: that repeat a run, that mend an installed torch."""


def sentences() -> Iterator[tuple[str, str]]:
    """Every string of the library with its place; docstrings too."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith("cli/") or name in COMMANDS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{name}:{node.lineno}", node.value


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("`provider.base_url` is wrong", "--provider.base-url is wrong"),
        ("`subject.adapter` nano", "--subject.adapter nano"),
        ("choose another `model` or `force`", "choose another --model or --force"),
        ("`hello` and `pip download x` are not options", "`hello` and `pip download x` are not options"),
    ],
)
def test_an_option_in_backquotes_is_written_as_it_is_typed(text: str, typed: str) -> None:
    assert spelled(text) == typed


def test_no_sentence_of_the_library_spells_an_option() -> None:
    flags = re.compile(r"(?<![\w-])--[a-z]")
    commands = re.compile(r"`(?:pip|python|dragflow) [^`]*`")
    assert [place for place, text in sentences() if flags.search(commands.sub("", text))] == []


def test_every_option_that_a_sentence_names_exists() -> None:
    names = re.compile(r"`(?:provider|subject)\.[a-z_]+`")
    unknown = [(place, name) for place, text in sentences() for name in names.findall(text) if spelled(name) == name]
    assert unknown == []
