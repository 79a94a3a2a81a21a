"""`dragflow edit` with a small model of every family, from a folder, with the preset that serves it best."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.backbones.dummy import write_dummy
from dragflow.files.recipes import load_recipe
from dragflow.pixels.resolve import resolve
from small_flux2 import write_flux2, write_flux2_dev
from small_qwen import write_qwen
from small_sd3 import write_sd3
from small_z_image import write_z_image

SETTINGS = ("size.max_pixels=6144", "size.window=whole", "inversion.steps=4", "inversion.skip=1")
SMALL = tuple(word for setting in SETTINGS for word in ("--set", setting))
WRITERS: dict[str, Callable[[Path], Path]] = {
    "flux1": write_dummy,
    "flux1-kontext": lambda folder: write_dummy(folder, pipeline="FluxKontextPipeline"),
    "flux1-fill": lambda folder: write_dummy(folder, pipeline="FluxFillPipeline"),
    "flux2-dev": write_flux2_dev,
    "flux2-klein": write_flux2,
    "flux2-klein-base": lambda folder: write_flux2(folder, distilled=False),
    "qwen-image": write_qwen,
    "sd3": write_sd3,
    "z-image": write_z_image,
    "z-image-turbo": lambda folder: write_z_image(folder, turbo=True),
    "qwen-image-edit": lambda folder: write_qwen(folder, "QwenImageEditPipeline"),
    "qwen-image-edit-plus": lambda folder: write_qwen(folder, "QwenImageEditPlusPipeline", zero_cond_t=True),
}
"""Add a family here, and it is edited with."""


_QUICK = ("flux2-klein", "z-image")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in WRITERS]
)
def test_an_edit_changes_what_it_may_and_nothing_else(name: str, run: Any, desk: Any, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path / "model")
    done = run("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", folder, *SMALL, "-o", desk.out)
    assert done.code == 0, done.err
    pixels, edited = (np.asarray(Image.open(path).convert("RGB")) for path in (desk.image, desk.out))
    changed = (pixels != edited).any(-1)
    assert changed[20:44, 20:44].any()
    assert changed[28:52, 48:72].any()
    recipe = load_recipe(desk.out)
    assert not changed[~resolve(pixels, recipe.instruction).area].any()
    assert recipe.weights.options.model == str(folder)
