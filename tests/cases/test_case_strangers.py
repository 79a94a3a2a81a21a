"""Files of strangers: what they say is shown without effect, and what they ask for is loaded only when it is wanted."""

from __future__ import annotations

import base64
import io
import json
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions, WeightsId
from dragflow.core.motion import Translate
from dragflow.core.result import Recipe
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.encoding import save_png
from dragflow.files.pictures import from_pixels, load_image
from dragflow.files.presets import load_preset
from dragflow.files.recipes import KEY, dump_recipe

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


# -- recipes of version 2 ----------------------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 75\n%%EndComments\n0 0 5 5 rectfill\n%%EOF\n"
ESCAPE = "\x1b]8;;http://evil\x07a\x9b31mcat\u202e"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    save_png(tmp_path / "picture.png", from_pixels(pixels), pixels)
    return tmp_path / "picture.png"


def stranger(picture: Path, made: ModelOptions, subject: SubjectOptions | None = None, **changes: object) -> Path:
    """A result of somebody else, whose recipe asks for a model; `changes` go into its instruction."""
    source, config = load_image(picture), load_preset("fast")
    asked = Instruction(Operation(Box(20, 20, 40, 40), Translate((60, 40))), ESCAPE, "moved")
    of_subject = subject and SubjectId(subject, "e" * 16)
    recipe = Recipe(asked, config, config.hash, WeightsId(made, "f" * 16), source.sha256, {}, of_subject)
    data = json.loads(dump_recipe(recipe))
    data["instruction"] |= changes
    save_png(picture.with_name("result.png"), source, source.pixels, {KEY: json.dumps(data)})
    return picture.with_name("result.png")


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for, of the disk or the hub; loading it fails."""
    loaded: list[str] = []

    def load(options: ModelOptions) -> None:
        loaded.append(options.name)
        raise ConnectionError(options.name)

    monkeypatch.setattr("dragflow.editor.editor.load_backbone", load)
    return loaded


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Answers from a person."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda answer: monkeypatch.setattr(sys, "stdin", Terminal(answer))


MODELS = [
    (ModelOptions("evil/model", "refs/pr/7"), None),
    (ModelOptions("/home/you/model"), None),
    (ModelOptions("nano", lora=("evil.safetensors:0.5",)), None),
    (ModelOptions("nano", quantize="gguf:/evil.gguf"), None),
    (ModelOptions("/evil/flux.safetensors", parts=("evil/parts", "/evil/t5.safetensors")), None),
    (ModelOptions("nano"), SubjectOptions("ip-adapter", "/evil.bin")),
    (ModelOptions("nano"), SubjectOptions("instantcharacter", None, "evil/siglip")),
]


@pytest.mark.parametrize(("made", "subject"), MODELS)
def test_a_recipe_says_what_it_asks_for_and_nothing_is_loaded(
    made: ModelOptions, subject: SubjectOptions | None, run: Any, picture: Path, untouched: list[str]
) -> None:
    out = picture.with_name("out.png")
    refused = run("edit", picture, "--from", stranger(picture, made, subject), "-o", out)
    assert refused.code == 2
    assert not untouched
    assert not out.exists()
    said = (
        made.lora or made.parts or [value for value in (made.gguf, made.revision, subject and subject.weights) if value]
    )
    assert all(one in refused.err for one in said)
    assert "--trust" in refused.err
    assert "moved" in refused.err
    assert not OBEYED.search(refused.err)


@pytest.mark.parametrize(("made", "subject"), MODELS[:2])
def test_what_the_user_names_or_trusts_is_loaded(
    made: ModelOptions, subject: SubjectOptions | None, run: Any, picture: Path, untouched: list[str]
) -> None:
    result, out = stranger(picture, made, subject), picture.with_name("out.png")
    for options in (("--model", str(made.model)), ("--trust",)):
        with pytest.raises(ConnectionError):
            run("edit", picture, "--from", result, "-o", out, *options)
    assert untouched == [made.model, made.model]


def test_a_person_at_a_terminal_is_asked(
    run: Any, picture: Path, untouched: list[str], at_terminal: Callable[[str], None]
) -> None:
    result, out = stranger(picture, MODELS[0][0]), picture.with_name("out.png")
    for answer in ("n\n", "\n"):
        at_terminal(answer)
        refused = run("edit", picture, "--from", result, "-o", out)
        assert refused.code == 130
        assert "nothing of the recipe was loaded" in refused.err
    at_terminal("y\n")
    assert not untouched
    with pytest.raises(ConnectionError):
        run("edit", picture, "--from", result, "-o", out)
    assert untouched == ["evil/model"]
    at_terminal("y\n")
    programs = run("edit", picture, "--from", result, "-o", out, "--json")
    assert programs.code == 2
    event = programs.events[0]
    assert (event["event"], event["model"], event["revision"]) == ("recipe", "evil/model", "refs/pr/7")


def test_a_built_in_model_needs_no_word(run: Any, picture: Path) -> None:
    first, again = picture.with_name("first.png"), picture.with_name("again.png")
    quick = ("--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1")
    made = run("edit", picture, "--box", "20,20,40,40", "--to", "60,40", "--model", "dummy", *quick, "-o", first)
    assert made.code == 0, made.err
    repeated = run("edit", picture, "--from", first, "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ({"type": "mask", "path": "/etc/passwd"}, "only embedded masks"),
        ({"type": "mask", "path": "picture.png"}, "only embedded masks"),
        ({"type": "png", "png": base64.b64encode(EPS).decode()}, "embedded mask"),
    ],
)
def test_a_recipe_reads_no_file_and_starts_no_program(
    region: dict[str, str], words: str, run: Any, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = picture.with_name("started")
    ghostscript = picture.with_name("gs")
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\n")
    ghostscript.chmod(ghostscript.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(picture.parent), prepend=":")
    operation = {"region": region, "motion": {"type": "translate", "to": [60, 40]}}
    result = stranger(picture, ModelOptions("nano"), operations=[operation])
    refused = run("edit", picture, "--from", result, "-o", picture.with_name("out.png"))
    assert refused.code == 2
    assert words in refused.err
    assert not started.exists()


def test_trust_is_of_a_recipe_alone(run: Any, picture: Path) -> None:
    asked = ("edit", picture, "--box", "20,20,40,40", "--to", "60,40", "--model", "dummy")
    refused = run(*asked, "--trust", "-o", picture.with_name("out.png"))
    assert refused.code == 2
    assert "--trust" in refused.err
