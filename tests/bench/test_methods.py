"""The methods without a model pixel by pixel, and what point methods are asked."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dragflow.bench.methods import WITH_MODEL, WITHOUT_MODEL, as_points, check_method, run_with_model, run_without_model
from dragflow.bench.sample import Sample
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.editor.editor import Editor
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.pixels import masks
from dragflow.pixels.layers import layers_of
from dragflow.pixels.resolve import resolve
from dragflow.service.pool import ModelPool

SIDE = 64


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load("dummy")


def red_square() -> Sample:
    """A red square on a plain blue ground, to be moved 24 pixels to the right."""
    pixels = np.full((SIDE, SIDE, 3), (20, 40, 200), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[24:40, 8:24] = True
    pixels[mask] = (220, 30, 30)
    move = Instruction((Operation(MaskArray(mask), Translate((39.5, 31.5))),), "a square")
    return Sample("square", "", from_pixels(pixels), move, ((15.0, 31.0),), ((39.0, 31.0),))


def red(image: np.ndarray) -> np.ndarray:
    return (image[..., 0] > 120) & (image[..., 2] < 120)


def test_pasting_leaves_the_source_and_inpainting_takes_it_away() -> None:
    sample = red_square()
    here = sample.task.operations[0].mask
    there = np.roll(here, 24, axis=1)
    assert (red(run_without_model("paste", sample).image) == (here | there)).all()
    for method in ("paste-inpaint", "preview"):
        assert (red(run_without_model(method, sample).image) == there).all()


def test_a_baseline_neither_moves_the_shadow_nor_relights() -> None:
    side, slide = 192, 80
    mask = np.zeros((side, side), np.bool_)
    mask[80:116, 30:66] = True
    tiles = np.kron(np.random.default_rng(3).uniform(100, 140, (side // 4, side // 4, 1)), np.ones((4, 4, 3)))
    lit = tiles * np.exp(np.linspace(-0.3, 0.3, side))[None, :, None]  # brighter to the right
    shadow = cv2.GaussianBlur(np.roll(mask, (5, 6), (0, 1)).astype(np.float64), (0, 0), 3)[..., None]
    pixels = np.rint(np.where(mask[..., None], (40.0, 90.0, 160.0), lit * (1 - 0.5 * shadow))).astype(np.uint8)
    move = Instruction(Operation(MaskArray(mask), Translate((47.5 + slide, 97.5), "relocation"), cut="hard"))
    sample = Sample("lit", "", from_pixels(pixels), move, ((47.5, 97.5),), ((47.5 + slide, 97.5),))
    previewed = layers_of(sample.task)
    assert previewed.light is not None
    assert previewed.regions[0].shadow is not None

    there = np.roll(mask, slide, axis=1)
    pasted = pixels.copy()
    pasted[there] = pixels[mask]
    rim = masks.dilate(there, 2) & masks.dilate(~there, 2)  # blurred a little
    refilled = masks.dilate(mask, 4)
    for method, unknown in (("paste", rim), ("paste-inpaint", rim | refilled)):
        shown = run_without_model(method, sample).image
        np.testing.assert_array_equal(shown[~unknown], pasted[~unknown])


@pytest.mark.parametrize("method", WITHOUT_MODEL)
def test_without_a_model_nothing_changes_outside(method: str) -> None:
    sample = red_square()
    before = sample.image.sha256
    outcome = run_without_model(method, sample)
    assert sample.image.sha256 == before
    assert (outcome.image == sample.image.pixels)[~sample.task.area].all()
    assert (outcome.open_seconds, outcome.calls) == (0.0, 0)


@pytest.mark.parametrize("method", WITH_MODEL)
def test_every_method_with_a_model_runs_and_keeps_the_outside(method: str) -> None:
    sample = red_square()
    config = override(load_preset(WITH_MODEL[method] or "default"), ["inversion.steps=4", "inversion.skip=1"])
    if config.optimise.moving:
        config = override(config, ["optimise.moving=3"])
    outcome = run_with_model(ModelOptions("dummy", device="cpu"), ModelPool(), config, sample)
    assert (outcome.image == sample.image.pixels)[~sample.task.area].all()
    assert not (outcome.image == sample.image.pixels).all()
    assert min(outcome.open_seconds, outcome.edit_seconds) > 0
    assert outcome.calls >= 8  # inverted and sampled again: four calls each way at least


def test_points_are_operations_on_one_pixel_in_the_same_area() -> None:
    sample = replace(
        red_square(), begin_points=((10.2, 30.4), (20, 30), (12, 36)), target_points=((34.2, 30), (44, 30), (12, 36.5))
    )
    asked = as_points(sample)
    task = resolve(sample.image.pixels, asked)
    assert [op.handle for op in task.operations] == [(10, 30), (20, 30)]  # the third stands still
    assert [int(op.mask.sum()) for op in task.operations] == [1, 1]
    assert [op.motion for op in task.operations] == [Translate((x, 30), "relocation") for x in (34.2, 44)]
    assert (task.area == sample.task.area).all()
    assert task.prompt == "a square"


def test_two_points_on_one_pixel_are_one() -> None:
    sample = replace(red_square(), begin_points=((10, 30), (10.3, 30)), target_points=((30, 30), (50, 30)))
    assert len(as_points(sample).operations) == 1


def test_a_sample_whose_points_stand_still_is_refused() -> None:
    with pytest.raises(UserError, match=r"square has no pair of points"):
        as_points(replace(red_square(), target_points=((15.2, 31.0),)))


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    check_method("point")
    with pytest.raises(UserError, match=r"'drag' is not known.*dragflow.*paste-inpaint"):
        check_method("drag")
