"""What the pages show is what the program does: every option is in docs/cli.md, and README's Python runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from dragflow.cli.app import app

ROOT = Path(__file__).parents[2]


def commands(group: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group:
        if not name.startswith("-"):
            yield (*path, name)
            yield from commands(group[name], (*path, name))


@pytest.mark.parametrize("command", commands(app), ids=" ".join)
def test_every_option_is_in_the_page(command: tuple[str, ...], run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = run(*command, "--help")
    assert told.code == 0
    options = {
        name for name in re.findall(r"^\W+(--[a-z][\w.-]*)", told.out, re.M) if name not in ("--help", "--version")
    }
    named = set(re.findall(r"--[a-z][\w.-]*\w", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")))
    assert options <= named


@pytest.mark.slow
def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(one for one in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "httpx" not in one)
    shutil.copytree(ROOT / "docs" / "images", tmp_path / "docs" / "images")
    monkeypatch.chdir(tmp_path)
    quick = block.replace('load("nano")', 'load("dummy")').replace("edit(operation)", 'edit(operation, "paste")')
    assert quick != block
    exec(compile(quick, "README.md", "exec"), {})
    assert (tmp_path / "edited.png").is_file()
