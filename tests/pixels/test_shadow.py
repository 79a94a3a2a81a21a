"""A region takes its shadow along, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Affine, Rotate, Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels.layers import layers_of
from dragflow.pixels.masks import centroid, dilate
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.pixels.shadow import find_shadow

H, W = 160, 200
Y, X = np.mgrid[:H, :W].astype(np.float32)
PLAIN = np.stack([150 + 0.3 * X, 170 - 0.2 * Y, 140 + 0 * X], axis=-1)
STRIPES = np.where(((X + Y) // 14 % 2 == 0)[..., None], (190.0, 170.0, 120.0), (120.0, 140.0, 190.0))


def region(x: float = 60, y: float = 60, degrees: float = 0.0) -> NDArray[np.bool_]:
    """An L, turned about (60, 60), with its corner at (x, y)."""
    shape = np.zeros((H, W), np.uint8)
    shape[50:90, 50:64] = 1
    shape[76:90, 50:86] = 1
    turn = cv2.getRotationMatrix2D((60, 60), -degrees, 1)
    turn[:, 2] += (x - 60, y - 60)
    return cv2.warpAffine(shape, turn, (W, H), flags=cv2.INTER_NEAREST) > 0


CENTROID = centroid(region())


def picture(
    mask: NDArray[np.bool_], background: NDArray[np.float64], strength: float = 0.5, offset: tuple[int, int] = (8, 6)
) -> NDArray[np.uint8]:
    shifted = np.array([[1.0, 0, offset[0]], [0, 1, offset[1]]])
    soft = cv2.GaussianBlur(cv2.warpAffine(mask.astype(np.float32), shifted, (W, H)), (0, 0), 3)
    lit = background * (1 - strength * soft[..., None])
    return np.where(mask[..., None], (230, 40, 60), np.rint(lit)).astype(np.uint8)


def error(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    return float(np.sqrt(((image.astype(float) - truth) ** 2).mean()))


@pytest.mark.parametrize("background", [PLAIN, STRIPES], ids=["plain", "stripes"])
def test_a_drop_shadow_is_found_with_its_offset_and_strength(background: NDArray[np.float64]) -> None:
    found = find_shadow(picture(region(), background), region())
    assert found is not None
    assert np.allclose(found.offset, (8, 6), atol=3)
    assert 0.45 < float(found.light.min()) < 0.65
    assert np.abs(found.light[:20] - 1).max() == 0


@pytest.mark.parametrize("background", [PLAIN, STRIPES], ids=["plain", "stripes"])
def test_where_there_is_no_shadow_none_is_found(background: NDArray[np.float64]) -> None:
    assert find_shadow(picture(region(), background, strength=0.0), region()) is None


def test_a_shadow_is_found_on_a_texture_that_is_as_uneven_as_the_shadow_is_dark() -> None:
    grain = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, (H, W)).astype(np.float32), (0, 0), 2)
    textured = PLAIN * (1 + 0.1 * grain / grain.std())[..., None].clip(0.5, 1.5)
    found = find_shadow(picture(region(), textured, strength=0.45), region())
    assert found is not None
    assert np.allclose(found.offset, (8, 6), atol=3)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_tint_of_one_colour_is_no_shadow(channel: int) -> None:
    tinted = picture(region(), PLAIN, strength=0.0)
    tinted[..., channel] = picture(region(), PLAIN)[..., channel]
    assert find_shadow(tinted, region()) is None


def test_texture_and_other_objects_are_no_shadow() -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (H, W)).astype(np.float32), (0, 0), 6)
    blotchy = PLAIN * (1 + 2.0 * texture[..., None]).clip(0.5, 1.5)
    assert find_shadow(picture(region(), blotchy, strength=0.0), region()) is None
    beside = picture(region(), PLAIN, strength=0.0)
    beside[40:100, 88:96] = 20
    assert find_shadow(beside, region()) is None


@pytest.mark.parametrize(
    ("motion", "after"),
    [
        (Translate((CENTROID[0] + 50, CENTROID[1] + 10)), region(110, 70)),
        (Rotate((60, 60), degrees=90), region(degrees=90)),
        (Affine(((1, 0, 50), (0, 1, -10))), region(110, 50)),
    ],
    ids=["move", "turn", "affine"],
)
def test_the_preview_throws_the_shadow_where_the_region_goes(motion: object, after: NDArray[np.bool_]) -> None:
    source, truth = picture(region(), STRIPES), picture(after, STRIPES)
    everywhere = np.ones((H, W), np.bool_)
    everywhere[0, 0] = False  # a region that is the whole picture is refused
    asked = Instruction((Operation(MaskArray(region()), motion),), editable=MaskArray(everywhere))  # pyright: ignore[reportArgumentType]
    task = resolve(source, asked)
    flat = layers_of(task, plain=True)
    with_shadow, without = error(draw_preview(task), truth), error(draw_preview(task, flat), truth)
    assert with_shadow < 0.5 * without


def test_the_derived_area_takes_the_shadow_in_where_it_was_and_where_it_goes() -> None:
    source = picture(region(), PLAIN)
    move = Operation(MaskArray(region()), Translate((CENTROID[0] + 60, CENTROID[1] + 20)))
    area = resolve(source, Instruction(move)).area
    shade = (source.astype(float) < PLAIN - 4).any(axis=2) & ~region()
    assert (area & shade).sum() > 0.98 * shade.sum()
    moved = np.roll(shade, (20, 60), (0, 1))
    assert (area & moved).sum() > 0.98 * moved.sum()
    own = resolve(
        source, Instruction(move, editable=MaskArray(dilate(region(), 3) | np.roll(region(), (20, 60), (0, 1))))
    ).area
    assert not (own & shade).sum() > 0.9 * shade.sum()  # an area that was given stays


def test_a_large_picture_gives_a_light_map_of_its_own_size() -> None:
    large = np.asarray(cv2.resize(picture(region(), PLAIN), (W * 4, H * 4)), dtype=np.uint8)
    mask = cv2.resize(region().astype(np.uint8), (W * 4, H * 4), interpolation=cv2.INTER_NEAREST) > 0
    found = find_shadow(large, mask)
    assert found is not None
    assert found.light.shape == (H * 4, W * 4)
    assert np.allclose(found.offset, (32, 24), atol=12)


def test_a_region_that_leaves_no_surroundings_has_no_shadow() -> None:
    mask = np.ones((H, W), np.bool_)
    mask[:2] = False
    assert find_shadow(picture(mask, PLAIN), mask) is None
