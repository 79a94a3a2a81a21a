"""Recipes travel in the picture and come back as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions, WeightsId
from dragflow.core.motion import Rotate, Translate
from dragflow.core.result import Provenance, Recipe, Timing
from dragflow.core.task import Box, Instruction, Operation
from dragflow.editor.result import EditResult
from dragflow.files.pictures import from_pixels, load_image
from dragflow.files.presets import load_preset, override
from dragflow.files.recipes import KEY, dump_sidecar, load_recipe
from dragflow.pixels.resolve import resolve

ASKED = Instruction(
    (Operation(Box(2, 2, 8, 8), Translate((12, 12), "deformation"), cut="soft", behind=False),), "kočka 🐈", "moved"
)


def recipe(config: EditConfig) -> Recipe:
    options = ModelOptions("a/b", "abc123", None, "bfloat16", "int8", lora=("style.safetensors:0.5",))
    weights = WeightsId(options, "0123456789abcdef")
    return Recipe(ASKED, config, config.hash, weights, "ff" * 32, {"torch": "2.13.0"})


def result(config: EditConfig) -> EditResult:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    provenance = Provenance(recipe(config), (Timing("drag", 1.5, 10), Timing("denoise", 0.25, 20)), 123.5)
    task = resolve(image, provenance.recipe.instruction)
    return EditResult(image, task, (0.5,), provenance, from_pixels(image))


@pytest.mark.parametrize(
    "settings", [[], ["seed=9223372036854775807"], ["kv.sites=['double.0']", "optimise.refining_rate=0.1"]]
)
def test_a_recipe_comes_back_as_it_was(settings: list[str], tmp_path: Path) -> None:
    made = result(override(load_preset("default"), settings))
    made.save(tmp_path / "a.png")
    back = load_recipe(tmp_path / "a.png")
    assert back.config == made.provenance.recipe.config
    assert back.config_hash == back.config.hash
    assert back.weights == made.provenance.recipe.weights
    assert back.instruction == ASKED
    assert (back.source_sha256, back.versions) == ("ff" * 32, {"torch": "2.13.0"})
    assert np.array_equal(load_image(tmp_path / "a.png").pixels, made.pixels)


def test_a_motion_without_a_label_in_a_recipe_is_the_relocation_that_it_was_cut_out_as_painted(tmp_path: Path) -> None:
    made = result(load_preset("default"))
    unlabelled = Instruction((Operation(Box(2, 2, 8, 8), Rotate((12, 12), degrees=30)),))
    made = replace(
        made, provenance=replace(made.provenance, recipe=replace(made.provenance.recipe, instruction=unlabelled))
    )
    made.save(tmp_path / "a.png")
    (operation,) = load_recipe(tmp_path / "a.png").instruction.operations
    assert operation.motion == Rotate((12, 12), degrees=30, label="relocation")
    assert operation.cut == "hard"
    assert operation.behind is False


def test_a_recipe_from_before_there_were_windows_was_made_of_the_whole_picture(tmp_path: Path) -> None:
    made = result(EditConfig())
    made.save(tmp_path / "new.png")
    with Image.open(tmp_path / "new.png") as image:
        data = json.loads(image.info[KEY])
        del data["config"]["size"]["window"]
        info = PngImagePlugin.PngInfo()
        info.add_text(KEY, json.dumps(data))
        image.save(tmp_path / "old.png", pnginfo=info)
    assert load_recipe(tmp_path / "old.png").config.size.window == "whole"


def test_a_recipe_from_before_there_were_ip_adapters_is_read(tmp_path: Path) -> None:
    """It names no CLIP, and the strength as a number."""
    adapter = SubjectId(SubjectOptions("instantcharacter", "a.bin", "/siglip"), "ff" * 8)
    made = result(override(load_preset("default"), ["subject.scale=1.5"]))
    made = replace(made, provenance=replace(made.provenance, recipe=replace(made.provenance.recipe, subject=adapter)))
    made.save(tmp_path / "new.png")
    with Image.open(tmp_path / "new.png") as image:
        data = json.loads(image.info[KEY])
        del data["subject"]["options"]["clip"]
        info = PngImagePlugin.PngInfo()
        info.add_text(KEY, json.dumps(data))
        image.save(tmp_path / "old.png", pnginfo=info)
    old = load_recipe(tmp_path / "old.png")
    assert old.subject == load_recipe(tmp_path / "new.png").subject == adapter
    assert old.config.subject.scale == 1.5


def test_the_same_recipe_gives_the_same_bytes_whatever_it_cost(tmp_path: Path) -> None:
    made = result(EditConfig())
    dear = replace(made, provenance=Provenance(made.provenance.recipe, (Timing("drag", 99.0, 10),), None))
    for name, each in (("a.png", made), ("b.png", dear)):
        each.save(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_sidecar_adds_what_it_cost() -> None:
    data = json.loads(dump_sidecar(result(EditConfig()).provenance))
    assert data["timings"][0] == {"phase": "drag", "seconds": 1.5, "calls": 10} | (
        {key: value for key, value in data["timings"][0].items() if key not in ("phase", "seconds", "calls")}
    )
    assert data["instruction"]["prompt"] == "kočka 🐈"
    assert data["weights"]["fingerprint"] == "0123456789abcdef"
    assert data["peak_memory_mib"] == 123.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no recipe"),
        ("{", "not JSON"),
        ("[]", "version"),
        ("{}", "version"),
        ('{"version": 99}', "version"),
        ('{"version": 2}', "config is missing"),
        ('{"version": 2, "config": {"speed": 3}}', "config.speed"),
    ],
)
def test_a_picture_without_a_whole_recipe_is_refused(text: str | None, words: str, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_itxt("dragflow", text)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(UserError, match=words) as error:
        load_recipe(tmp_path / "a.png")
    assert "a.png" in str(error.value)
