"""`dragflow edit` with an edit model that `FluxKontextPipeline.save_pretrained` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.files.recipes import load_recipe
from small_flux import write_lora

SMALL = ("--set", "size.max_pixels=6144", "--set", "size.window=whole")
MOVE = ("--to", "60,40")


@pytest.mark.parametrize("preset", ["instant", "reference"])
def test_an_edit_end_to_end_with_a_lora_and_again_from_its_recipe(
    preset: str, run: Any, desk: Any, kontext_folder: Path, tmp_path: Path
) -> None:
    lora, again = write_lora(kontext_folder, tmp_path / "blend.safetensors", 2, 1), desk.folder / "again.png"
    index = json.loads((kontext_folder / "model_index.json").read_text())
    assert index["_class_name"] == "FluxKontextPipeline"
    edit = ("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", kontext_folder, "--preset", preset, *SMALL)
    plain = run(*edit, "-o", tmp_path / "plain.png")
    assert plain.code == 0, plain.err
    done = run(*edit, "--lora", lora, "-o", desk.out)
    assert done.code == 0, done.err
    pixels, blended = (np.asarray(Image.open(path).convert("RGB")) for path in (desk.image, desk.out))
    changed = (pixels != blended).any(-1)
    assert changed[20:44, 20:44].any()
    assert changed[28:52, 48:72].any()
    assert not changed[60:].any()
    assert not np.array_equal(blended, np.asarray(Image.open(tmp_path / "plain.png").convert("RGB")))
    recipe = load_recipe(desk.out)
    assert recipe.config.references == ("preview", "source")
    assert "moved object" in recipe.instruction.edit_prompt
    repeated = run("edit", desk.image, "--from", desk.out, "--trust", "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == desk.out.read_bytes()


def test_the_moved_tokens_can_be_told_in_place_of_the_preview(run: Any, desk: Any, kontext_folder: Path) -> None:
    edit = ("edit", desk.image, "--mask", desk.mask, *MOVE, "--model", kontext_folder, "--preset", "instant", *SMALL)
    done = run(*edit, "--set", 'references=["moved"]', "-o", desk.out)
    assert done.code == 0, done.err
    recipe = load_recipe(desk.out)
    assert recipe.config.references == ("moved",)
    assert f"the model was told: {recipe.instruction.edit_prompt}" in " ".join(done.out.split())
    told = run(*edit, "--json", "-o", desk.folder / "told.png")
    assert {"event": "worded", "edit_prompt": recipe.instruction.edit_prompt} in told.events
    said = run(*edit, "--edit-prompt", "blend it in", "-o", desk.folder / "said.png")
    assert "the model was told" not in said.out + said.err


def test_a_model_without_references_is_an_error_in_one_line(run: Any, desk: Any, dummy_folder: Path) -> None:
    before = desk.files()
    done = run(
        "edit", desk.image, "--mask", desk.mask, *MOVE, "--model", dummy_folder, "--preset", "instant", "-o", desk.out
    )
    assert done.code == 2
    assert "references" in done.err
    assert "take none" in done.err
    assert "Traceback" not in done.err
    assert desk.files() == before


def test_the_presets_are_listed(run: Any) -> None:
    listed = run("presets")
    assert {"instant", "reference"} <= set(listed.out.split())
    shown = json.loads(run("presets", "instant").out)
    assert shown["references"] == ["preview", "source"]
    assert shown["inversion"]["mode"] == "noised"
