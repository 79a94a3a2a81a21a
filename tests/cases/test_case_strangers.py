"""Files of strangers: what they say is shown without effect, and what they ask for is loaded only when it is wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_escape_codes_of_an_instruction_do_not_reach_the_terminal(run: Any, cases_dir: Path, tmp_path: Path) -> None:
    task, picture = cases_dir / "files" / "esc.json", cases_dir / "files" / "scene.png"
    shown = run("task", "show", task, picture)
    guessed = run("intent", picture, "--task", task, "--overlay", tmp_path / "drag.png")
    assert (shown.code, guessed.code) == (0, 0)
    for said in (shown, guessed):
        assert "pwned hi" in said.out
        assert not OBEYED.search(said.out + said.err)


@pytest.mark.parametrize("name", ["stranger_hub.png", "stranger_lora.png", "stranger_eps.png"])
def test_recipes_of_version_1_are_refused(name: str, run: Any, cases_dir: Path, tmp_path: Path) -> None:
    files = cases_dir / "files"
    refused = run("edit", files / "scene.png", "--from", files / name, "-o", tmp_path / "out.png")
    assert refused.code == 2
    assert "version 2" in refused.err
    assert not any(tmp_path.iterdir())
