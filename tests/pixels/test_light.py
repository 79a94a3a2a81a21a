"""The light that varies over a picture: told by texture, and applied to what moves."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels.light import light_of
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

SIZE = 192
NOTHING: Mask = np.zeros((SIZE, SIZE), np.bool_)
RAMP: Map = np.linspace(-0.3, 0.3, SIZE)[None, :, None] * np.ones((SIZE, 1, 3))
"""Logarithm of a light that is brighter to the right."""


def texture() -> Map:
    """Random tiles around a mean level."""
    tiles = np.random.default_rng(3).uniform(100, 140, (SIZE // 4, SIZE // 4, 1))
    return np.kron(tiles, np.ones((4, 4, 3)))


def lit(light: Map) -> Pixels:
    return np.rint(texture() * np.exp(light)).astype(np.uint8)


def shift(pixels: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return ((1.0, 0.0, pixels), (0.0, 1.0, 0.0))


@pytest.mark.parametrize("pixels", [60, -90])
def test_a_ramp_is_told_by_the_texture_under_it(pixels: int) -> None:
    light = light_of(lit(RAMP), NOTHING)
    assert light is not None
    change = light.change(shift(pixels))
    assert change is not None
    told = np.log(change[SIZE // 2, SIZE // 2])
    assert np.abs(told - 0.6 * pixels / SIZE).max() < 0.03


def test_an_object_far_from_the_light_says_nothing() -> None:
    picture, hidden = lit(RAMP), NOTHING.copy()
    hidden[60:130, 20:90] = True
    picture[hidden] = (250, 10, 10)
    light = light_of(picture, hidden)
    assert light is not None
    change = light.change(shift(60))
    assert change is not None
    assert np.abs(np.log(change[SIZE // 2, SIZE // 2]) - 0.6 * 60 / SIZE).max() < 0.04


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(lit(0 * RAMP), id="even light"),
        pytest.param(np.rint(120 * np.exp(RAMP)).astype(np.uint8), id="a gradient without texture, as a sky is"),
        pytest.param(np.rint(texture() + 120 * (np.exp(RAMP) - 1)).astype(np.uint8), id="paint, on one texture"),
        pytest.param(lit(RAMP * (1.0, 0.2, -0.6)), id="a change of hue"),
        pytest.param(np.zeros((SIZE, SIZE, 3), np.uint8), id="black"),
    ],
)
def test_no_light_is_told(picture: Pixels) -> None:
    assert light_of(picture, NOTHING) is None


def test_the_change_of_no_motion_is_none() -> None:
    light = light_of(lit(RAMP), NOTHING)
    assert light is not None
    assert light.change(shift(0)) is None


def test_tiny_pictures_tell_nothing() -> None:
    assert light_of(np.full((3, 5, 3), 90, np.uint8), np.zeros((3, 5), np.bool_)) is None


def test_a_moved_thing_has_the_light_of_its_new_place() -> None:
    region = NOTHING.copy()
    region[70:110, 20:60] = True
    target = np.roll(region, 100, axis=1)
    source, truth = (
        np.rint(np.where(where[..., None], (40, 90, 160), texture()) * np.exp(RAMP)).astype(np.uint8)
        for where in (region, target)
    )
    move = Operation(MaskArray(region), Translate((139.5, 89.5), label="relocation"), cut="soft")
    drawn = draw_preview(resolve(source, Instruction((move,))))
    inner = (slice(75, 105), slice(125, 155))
    # As it was, it would be too dark by a quarter: 30 levels of the brightest colour.
    assert np.abs(drawn[inner].astype(int) - truth[inner]).max() <= 6
