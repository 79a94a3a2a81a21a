"""Options that would be ignored, and values that are empty, are refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("doctor", "--device", "cpu"), "--device has no effect here: no model is loaded"),
        (("doctor", "--subject", "nano"), "--subject.adapter has no effect here"),
        (("doctor", "--offload", "--dtype", "float32"), "--dtype, --offload have no effect here"),
        (("bench", "run", "world:1", "-o", "RUN", "--method", "paste", "--model", "nano"), "--model has no effect"),
        (("bench", "run", "world:1", "-o", "RUN", "--method", "preview", "--seed", "3"), "--seed has no effect"),
        (("bench", "run", "world:1", "-o", "RUN", "--method", "paste", "--subject.weights", "w"), "--subject.weights"),
        (("intent", "IMAGE", "--mask", "MASK", "--to", "60,30", "--provider.model", "m"), "--provider.model has no"),
        (
            ("intent", "IMAGE", "--mask", "MASK", "--to", "60,30", "--provider", "file", "--provider.timeout", "3"),
            "--provider.timeout has no effect here: the provider file",
        ),
        (("edit", "IMAGE", "--mask", "MASK", "--to", "60,30", "--pick", "1"), "--pick has no effect here: only"),
        (("serve", "--port", "0", "--cache-size", "5"), "--cache-size has no effect here: name a folder by --cache"),
        (("task", "check", "RED", "IMAGE"), "picture.png has no effect here: the ReD Bench folder"),
        (("task", "convert", "RED", "t.json", "--image", "IMAGE"), "picture.png has no effect here"),
    ],
)
def test_an_option_without_effect_is_refused(options: tuple[str, ...], words: str, run: Any, desk: Any) -> None:
    (desk.folder / "red").mkdir()
    places = {"IMAGE": desk.image, "MASK": desk.mask, "RUN": desk.folder / "run", "RED": desk.folder / "red"}
    before = desk.files()
    said = run(*(places.get(option, option) for option in options))
    assert said.code == 2
    assert words in said.err
    assert desk.files() == before


@pytest.mark.parametrize(
    "option",
    ["--model", "--device", "--lora", "--preset", "--mask", "--task", "--area", "--from", "-o", "--sidecar", "--set"],
)
@pytest.mark.parametrize("joined", [False, True])
def test_an_empty_value_is_refused(option: str, joined: bool, run: Any, desk: Any) -> None:
    if joined and option == "-o":
        return
    before = desk.files()
    given = (f"{option}=",) if joined else (option, "")
    said = run("edit", desk.image, "--box", "20,20,40,40", "--to", "60,30", *given)
    assert said.code == 2
    assert f"{option} is empty, as a shell variable is that is not set" in said.err
    assert desk.files() == before


def test_an_empty_picture_is_refused_and_an_empty_prompt_is_not(run: Any, desk: Any) -> None:
    assert "an argument is empty" in run("edit", "", "--model", "dummy").err
    move = ("--box", "20,20,40,40", "--to", "60,30", "--prompt", "", "--edit-prompt=", "-o", desk.out)
    assert run("preview", desk.image, *move).code == 0


def test_a_name_that_no_file_can_have_is_refused_wherever_it_is_given(run: Any, desk: Any, tmp_path: Path) -> None:
    name = "a" * 400
    move = ("--box", "20,20,40,40", "--to", "60,30")
    for options in (
        ("edit", name, *move),
        ("edit", desk.image, *move, "-o", f"{name}.png"),
        ("edit", desk.image, *move, "--preset", f"{name}.toml"),
        ("edit", desk.image, *move, "-o", desk.out, "--sidecar", name),
        ("edit", desk.image, *move, "-o", desk.out, "--trace", name),
        ("edit", desk.image, *move, "-o", desk.out, "--model", name),
        ("edit", desk.image, *move, "-o", desk.out, "--model", "dummy", "--lora", name),
        ("edit", desk.image, "--from", name, "-o", desk.out),
        ("edit", desk.image, "--task", name, "-o", desk.out),
        ("edit", desk.image, *move, "--area", name, "-o", desk.out),
        ("preview", desk.image, *move, "-o", f"{name}.png"),
        ("intent", desk.image, *move, "--overlay", f"{name}.png"),
        ("intent", desk.image, *move, "--provider", "file", "--provider.answers", name, "--overlay", desk.out),
        ("task", "new", desk.image, *move, "-o", name),
        ("task", "check", name, desk.image),
        ("task", "convert", name, desk.folder / "t.json"),
        ("bench", "data", name),
        ("bench", "run", name, "-o", desk.folder / "run", "--method", "paste"),
        ("bench", "run", "world:1", "-o", name, "--method", "paste"),
        ("bench", "score", name),
        ("bench", "report", name, "-o", desk.folder / "r.md"),
        ("lora", "train", name, "-o", desk.folder / "l.safetensors", "--model", "dummy"),
        ("lora", "train", desk.image, "-o", f"{name}.safetensors", "--model", "dummy"),
        ("doctor", name),
    ):
        said = run(*options)
        assert (said.code, len(said.err) < 600) == (2, True), options
