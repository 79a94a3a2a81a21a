"""Values that overwhelm: refused at once, by the path of their key, before a parser, a library or the system chokes."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path
from typing import Any

import pytest

from not_files import not_a_file

LONGEST, SECONDS = 600, 5.0


@pytest.fixture
def refused(run: Any, tmp_path: Path) -> Any:
    """Run a command that must be refused in one short sentence; gives the sentence."""

    def refused(*args: object) -> str:
        began = time.process_time()
        said = run(*args)
        assert said.code == 2, said.err
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert len(said.err) < LONGEST
        assert time.process_time() - began < SECONDS
        assert not (tmp_path / "out.png").exists()
        return said.err

    return refused


@pytest.mark.parametrize(
    ("name", "words"),
    [("deep.toml", "x.0.0.0... is nested too deeply"), ("bigint.toml", "seed: input should be a smaller number")],
)
def test_a_preset_that_overwhelms_is_refused_by_its_key(
    name: str, words: str, refused: Any, cases_dir: Path, tmp_path: Path
) -> None:
    files = cases_dir / "files"
    move = ("--mask", files / "ball.png", "--to", "268,306", "-o", tmp_path / "out.png")
    said = refused("edit", files / "scene.png", *move, "--preset", files / name, "--model", "dummy")
    assert name in said
    assert words in said


def test_a_setting_that_overwhelms_is_refused_by_its_key(refused: Any, cases_dir: Path, tmp_path: Path) -> None:
    files = cases_dir / "files"
    text = (files / "set-value.txt").read_text()
    move = ("--mask", files / "ball.png", "--to", "268,306", "-o", tmp_path / "out.png")
    for setting in ast.literal_eval(text):
        assert setting.partition("=")[0] in refused(
            "edit", files / "scene.png", *move, "--set", setting, "--model", "dummy"
        )
    refused("edit", files / "scene.png", *move, "--set", text, "--model", "dummy")


@pytest.mark.parametrize("name", ["long-name.json", "longmask.json"])
def test_a_name_that_no_file_can_have_is_refused_by_its_key(name: str, refused: Any, cases_dir: Path) -> None:
    said = refused("task", "check", cases_dir / "files" / name, cases_dir / "files" / "scene.png")
    assert name in said
    assert "operations.0.region: picture" in said
    assert "too long a name" in said


def instruction(**changes: Any) -> dict[str, Any]:
    """A good instruction for `scene.png`, with changes."""
    box = {"type": "box", "left": 10, "top": 10, "right": 40, "bottom": 40}
    operation = {"region": box, "motion": {"type": "translate", "to": [80, 50]}}
    return {"version": 2, "operations": [operation], **changes}


CIRCLE = [[100 + (k % 50), 100 + (k % 70)] for k in range(100_000)]
BOX = instruction()["operations"][0]
OVERWHELMING = {
    "polygon of 100,000 points": (
        instruction(operations=[{**BOX, "region": {"type": "polygon", "points": CIRCLE}}]),
        "operations.0.region.points: ",
    ),
    "1,000 operations": (instruction(operations=[BOX] * 1000), "operations: "),
    "10,000 unknown keys": (instruction(**{f"key{k}": k for k in range(10_000)}), "and 9995 more problems"),
    "a key of 5,000 letters": (instruction(**{"k" * 5000: 1}), "is not a known key"),
    "10,000 bad points": (
        instruction(operations=[{**BOX, "region": {"type": "polygon", "points": [["x", "y"]] * 9999}}]),
        "operations.0.region.points.0.0: ",
    ),
    "nested dicts": (instruction(prompt=json.loads('{"a":' * 60 + "1" + "}" * 60)), "prompt.a.a.a... is nested"),
    "a number of 4,000 digits": (instruction(operations=[{**BOX, "handle": [int("9" * 4000), 1]}]), "handle.0: "),
    "1e308": (instruction(operations=[{**BOX, "handle": [1e308, 1]}]), "operations.0.handle.0: "),
}


@pytest.mark.parametrize("name", OVERWHELMING)
def test_what_a_program_wrote_too_much_of_is_refused_within_a_second(
    name: str, refused: Any, cases_dir: Path, tmp_path: Path
) -> None:
    data, words = OVERWHELMING[name]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(data))
    said = refused("task", "check", path, cases_dir / "files" / "scene.png")
    assert words in said
    assert said.count("not a known key") <= 5


@pytest.mark.parametrize("kind", ["pipe", "zero", "null", "folder"])
@pytest.mark.parametrize("option", ["--mask", "--task", "--preset", "--from", "--area", "--provider.answers"])
def test_what_is_not_a_file_is_refused_and_not_waited_for(
    option: str, kind: str, refused: Any, cases_dir: Path, tmp_path: Path
) -> None:
    path = not_a_file(tmp_path / "it.toml", kind)
    picture, out = cases_dir / "files" / "scene.png", tmp_path / "out.png"
    if option == "--provider.answers":
        move = ("--box", "9,9,40,40", "--to", "80,50", "--provider", "file")
        said = refused("intent", picture, *move, option, path, "--overlay", out)
    else:
        move = () if option in ("--task", "--from") else ("--box", "9,9,40,40", "--to", "80,50")
        move = (option, path, "--to", "80,50") if option == "--mask" else (*move, option, path)
        said = refused("edit", picture, *move, "-o", out, "--model", "dummy")
    assert "it.toml" in said
