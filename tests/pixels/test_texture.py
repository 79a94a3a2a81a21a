"""The texture of a fill: as much detail as the surroundings have, of their kind, and nothing where they have none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.pixels.fill.membrane import membrane
from dragflow.pixels.fill.texture import textured
from dragflow.pixels.layers import layers_of
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

H, W = 160, 200
Y, X = np.mgrid[:H, :W].astype(np.float32)
Values = NDArray[np.float32]


def hole() -> NDArray[np.bool_]:
    return (X - 100) ** 2 + (Y - 80) ** 2 < 30**2


def inner() -> NDArray[np.bool_]:
    return (X - 100) ** 2 + (Y - 80) ** 2 < 24**2


def grey(values: Values) -> Values:
    return np.repeat(values[..., None], 3, axis=2).astype(np.float32)


def grain(seed: int = 0) -> Values:
    return np.random.default_rng(seed).normal(0, 12, (H, W)).astype(np.float32)


def filled(image: Values) -> Values:
    return membrane(image, hole())


def slope(image: Values, axis: int) -> float:
    """Mean square of the differences along an axis inside of the hole."""
    return float((np.diff(image, axis=axis) ** 2)[inner()[: H - (axis == 0), : W - (axis == 1)]].mean())


def test_smooth_surroundings_leave_the_fill_as_it_is() -> None:
    smooth = filled(grey(60 + X / 2 + Y / 4))
    assert np.abs(textured(smooth, hole(), smooth) - smooth).max() < 0.5


def test_grain_is_as_strong_as_around_and_the_colour_stays() -> None:
    image = grey(128 + grain())
    smooth = filled(image)
    result = textured(image, hole(), smooth)
    assert smooth[inner()].std() < 4
    assert result[inner()].std() == pytest.approx(12, rel=0.25)
    assert result[inner()].mean() == pytest.approx(smooth[inner()].mean(), abs=2)
    assert np.array_equal(result[~hole()], smooth[~hole()])
    assert np.array_equal(result, textured(image, hole(), smooth))


@pytest.mark.parametrize("axis", [0, 1])
def test_the_grain_keeps_its_direction(axis: int) -> None:
    lines = np.random.default_rng(1).normal(0, 20, (H, W)).astype(np.float32)
    lines = lines[:, :1] if axis == 0 else lines[:1]
    image = grey((128 + lines + 0.1 * grain()).astype(np.float32))
    result = textured(image, hole(), filled(image))
    assert slope(result, axis) > 4 * slope(result, 1 - axis)


def test_each_side_gets_the_detail_of_its_own_colour() -> None:
    image = grey(np.where(X < 100, 60, 180 + grain()).astype(np.float32))
    smooth = grey(np.where(X < 100, 60, 180).astype(np.float32))
    result = textured(image, hole(), np.where(hole()[..., None], smooth, image))
    left, right = inner() & (X < 90), inner() & (X > 110)
    assert result[left].std() < 1.5
    assert result[right].std() > 8


def test_what_the_hole_holds_does_not_matter() -> None:
    image = grey(128 + grain())
    smooth = filled(image)
    broken = np.where(hole()[..., None], np.float32(255), image)
    assert np.array_equal(textured(broken, hole(), smooth), textured(image, hole(), smooth))


@pytest.mark.parametrize("mask", [np.zeros((H, W), np.bool_), np.ones((H, W), np.bool_)])
def test_without_a_hole_or_without_surroundings_nothing_is_added(mask: NDArray[np.bool_]) -> None:
    image = grey(128 + grain())
    assert np.array_equal(textured(image, mask, image), image)


@pytest.mark.parametrize("size", [(8, 8), (3, 40), (40, 3)])
def test_small_pictures_work(size: tuple[int, int]) -> None:
    image = np.random.default_rng(2).uniform(0, 255, (*size, 3)).astype(np.float32)
    mask = np.zeros(size, np.bool_)
    mask[1:-1, 1:-1] = True
    result = textured(image, mask, np.where(mask[..., None], np.float32(128), image))
    assert np.isfinite(result).all()


def test_a_preview_has_texture_where_it_is_asked_for_and_in_the_area_alone() -> None:
    image = np.clip(np.rint(grey(128 + grain())), 0, 255).astype(np.uint8)
    image[60:100, 40:80] = (200, 30, 40)
    move = Operation(Box(40, 60, 79, 99), Translate((150, 80), "relocation"), cut="hard")
    task = resolve(image, Instruction((move,)))
    layers = layers_of(task)
    smooth, shown = draw_preview(task, layers), draw_preview(task, layers, texture=True)
    left = np.s_[66:94, 46:74]
    assert smooth[left].std() < 5
    assert shown[left].std() > 8
    assert np.array_equal(shown[~task.area], image[~task.area])
    assert np.array_equal(shown[61:99, 131:169], smooth[61:99, 131:169])  # the moved thing
