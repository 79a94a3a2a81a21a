"""Every command of the pages is one that the program takes, and the ones that people begin with run as they stand."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyclopts import CycloptsError
from PIL import Image

from dragflow.cli.app import app, written_out

ROOT = Path(__file__).parents[2]
BEGIN_WITH = ("start", "photographs", "compare")
"""Pages whose commands are run."""
NOT_RUN = ("studio", "serve", "doctor", "black-forest-labs/", "model use", "data/", "study/")
"""Parts of commands that wait for people, need published weights, look at the machine, or change the user's choices."""
CARDS = (8, 12, 24, 80)
"""Of the page about GPUs, in GiB."""
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


def test_the_program_takes_every_command_of_the_pages() -> None:
    given: list[tuple[Path, list[str]]] = []
    seen: set[tuple[str, ...]] = set()
    for page in PAGES:
        for line in shell_lines(page):
            words = arguments(line) or []
            said = {(*words[:2], word.partition("=")[0]) for word in words[2:] if word.startswith("-")}
            if new := (said or {tuple(words[:2])}) - seen:  # parsing takes time: what says nothing new is left out
                seen |= new
                given.append((page, words))
    refused: list[str] = []
    for page, words in given:
        try:
            app.parse_args(written_out(words), exit_on_error=False, print_error=False)
        except CycloptsError as error:
            refused.append(f"{page}: {shlex.join(words)}: {error}")
    assert not refused


@pytest.mark.slow
@pytest.mark.parametrize("name", BEGIN_WITH)
def test_the_commands_of_a_page_run(name: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docs" / "images", tmp_path / "docs" / "images")
    at_hand = tmp_path / ("docs/images" if name == "compare" else ".")
    (at_hand / "theirs").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(at_hand / "theirs" / "0.png")
    monkeypatch.setenv("DRAGFLOW_MODEL", "dummy")
    monkeypatch.chdir(at_hand)
    made = 0
    for line in shell_lines(ROOT / "docs" / f"{name}.md"):
        words = shlex.split(line, comments=True)
        if words[:1] == ["cd"]:
            monkeypatch.chdir(words[1])
        elif words[:1] == ["python"]:
            monkeypatch.setattr("sys.argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")
        elif words[:1] == ["dragflow"] and not any(part in line for part in NOT_RUN):
            quick = re.sub(r"world:\d+", "world:1", line.replace("--model nano", "--model dummy"))
            done = run(*shlex.split(quick, comments=True)[1:])
            assert done.code == 0, f"{line}: {done.err}"
            made += 1
    assert made > 2


@pytest.mark.slow
def test_the_python_of_its_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    shutil.copytree(ROOT / "docs" / "images", tmp_path / "docs" / "images")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks.replace('"nano"', '"dummy"'), "python.md", "exec"), {})
    assert {"preview.png", "moved.png"} <= {path.name for path in tmp_path.iterdir()}


def plans(model: str) -> list[str]:
    """How a model is loaded so that it fits each card, in the words of the page."""
    from dragflow.backbones.memory import GIB, plan
    from dragflow.backbones.registry import footprint
    from dragflow.core.models import ModelOptions

    options = ModelOptions(model)
    sizes = footprint(options)
    cells: list[str] = []
    for card in CARDS:
        chosen = plan(options, sizes, card * GIB, accelerated=True)
        assert chosen.fits
        flags = [name for name in ("offload", "tiles", "swap") if getattr(chosen.options, name)]
        needed = str(chosen).rpartition(": ")[2].partition(" of ")[0]
        cells.append(f"{', '.join([chosen.options.quantize or 'bfloat16', *flags])}: {needed} GiB")
    return cells


@pytest.mark.slow
def test_the_plans_on_the_page_of_gpus_are_those_that_are_made() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w./-]+/[\w./-]+)` \| (.*) \|$", text, re.M)
    assert len(rows) == 6
    assert {model: cells.split(" | ") for model, cells in rows} == {model: plans(model) for model, _ in rows}


def test_a_picture_of_a_page_is_there_and_every_picture_is_on_a_page() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in PAGES
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in name
    }
    assert not [path for path in shown if not path.is_file()]
    there = {path for path in (ROOT / "docs" / "images").iterdir() if path.suffix not in (".py", "")}
    inputs = {ROOT / "docs" / "images" / name for name in ("scene.png", "ball.png", "door.png")}
    assert there - inputs <= shown
