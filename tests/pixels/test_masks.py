"""Regions as masks: rasterising, telling them apart, the editable area, the feather."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.errors import UserError
from dragflow.core.motion import about, rotation
from dragflow.core.task import Box, MaskArray, MaskFile, Polygon, Region
from dragflow.files.masks import frozen
from dragflow.pixels import masks

SIZE = (40, 60)
Mask = NDArray[np.bool_]


def box(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = SIZE) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def write(path: Path, mask: NDArray[np.uint8], **options: object) -> MaskFile:
    Image.fromarray(mask).save(path, **options)  # pyright: ignore[reportArgumentType]
    return MaskFile(path)


@given(st.integers(0, 58), st.integers(0, 38), st.data())
def test_a_box_holds_both_of_its_corners(left: int, top: int, data: st.DataObject) -> None:
    right, bottom = data.draw(st.integers(left, 58)), data.draw(st.integers(top, 38))
    assert np.array_equal(masks.rasterise(Box(left, top, right, bottom), SIZE), box(left, top, right, bottom))


@given(st.integers(0, 50), st.integers(0, 30), st.integers(1, 8), st.integers(1, 8))
def test_a_rectangle_as_a_polygon_is_the_box(left: int, top: int, w: int, h: int) -> None:
    right, bottom = left + w, top + h
    outline = Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))
    assert np.array_equal(masks.rasterise(outline, SIZE), box(left, top, right, bottom))


def test_a_triangle_holds_the_centres_inside_or_on_it() -> None:
    mask = masks.rasterise(Polygon(((10, 10), (20, 10), (10, 20))), SIZE)
    ys, xs = np.mgrid[:40, :60]
    assert np.array_equal(mask, (xs >= 10) & (ys >= 10) & (xs + ys <= 30))


def test_a_concave_polygon_leaves_its_bay_out() -> None:
    mask = masks.rasterise(Polygon(((5, 5), (35, 5), (35, 35), (25, 35), (25, 15), (15, 15), (15, 35), (5, 35))), SIZE)
    assert mask[30, 10]
    assert mask[30, 30]
    assert not mask[30, 20]


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (Box(5, 5, 70, 10), r"\(70, 10\)"),
        (Box(-2, 5, 10, 10), r"\(-2, 5\)"),
        (Box(10, 5, 5, 10), "swapped"),
        (Box(5, 10, 10, 5), "swapped"),
        (Box(5.1, 5.1, 5.2, 5.2), "empty"),
        (Box(0, 0, 59, 39), "whole picture"),
        (Polygon(((1, 1), (5, 5), (3, 99))), r"\(3, 99\)"),
        (MaskArray(np.zeros(SIZE, dtype=np.bool_)), "empty"),
        (MaskArray(np.ones(SIZE, dtype=np.bool_)), "whole picture"),
        (MaskArray(np.ones((60, 40), dtype=np.bool_)), "40 x 60"),
        (MaskArray(np.ones((3, 40, 60), dtype=np.bool_)), "array of 3 x 40 x 60"),
        (MaskFile(Path("mask.png")), "freeze the instruction first"),
    ],
)
def test_a_region_that_breaks_a_rule_is_named(region: Region, words: str) -> None:
    with pytest.raises(UserError, match=words):
        masks.rasterise(region, SIZE, "the region")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_a_mask_file_of_any_mode_is_read(mode: str, tmp_path: Path) -> None:
    mask = box(5, 6, 20, 25)
    Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(masks.rasterise(frozen(MaskFile(tmp_path / "m.png")), SIZE), mask)


def test_a_mask_of_zeros_and_ones_is_read(tmp_path: Path) -> None:
    mask = box(5, 6, 20, 25)
    assert np.array_equal(masks.rasterise(frozen(write(tmp_path / "m.png", mask.astype(np.uint8))), SIZE), mask)


def test_of_a_smooth_edge_what_is_brighter_than_half_is_in(tmp_path: Path) -> None:
    gray = (box(5, 6, 20, 25) * 255).astype(np.uint8)
    gray[6:26, 4], gray[6:26, 21] = 127, 128
    assert np.array_equal(masks.rasterise(frozen(write(tmp_path / "m.png", gray)), SIZE), box(5, 6, 21, 25))


def test_what_is_painted_but_transparent_is_out(tmp_path: Path) -> None:
    rgba = np.full((*SIZE, 4), 255, dtype=np.uint8)
    rgba[:, 10:, 3] = 0
    assert np.array_equal(masks.rasterise(frozen(write(tmp_path / "m.png", rgba)), SIZE), box(0, 0, 9, 39))


def test_a_turned_mask_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = np.zeros((60, 40), dtype=np.uint8)
    raw[:5, :7] = 255  # top left of the raw layout; turned clockwise it is top right
    assert np.array_equal(masks.rasterise(frozen(write(tmp_path / "m.png", raw, exif=exif)), SIZE), box(55, 0, 59, 6))


# -- several regions in one picture ------------------------------------------------------------------------------------


def ring() -> Mask:
    """A concave region whose centroid lies outside of it."""
    return box(5, 5, 25, 25) & ~box(9, 9, 25, 21)


def test_a_point_in_a_part_takes_that_part_and_a_point_beside_takes_the_nearest(tmp_path: Path) -> None:
    first, second = ring(), box(40, 5, 50, 30)
    file = write(tmp_path / "m.png", ((first | second) * 255).astype(np.uint8))
    for at, expected in (((6, 15), first), ((18, 15), first), ((45, 6), second), ((59, 39), second), ((33, 8), second)):
        assert np.array_equal(masks.rasterise(frozen(MaskFile(file.path, at)), SIZE), expected), at


def test_parts_that_touch_at_a_corner_are_one() -> None:
    both = box(5, 5, 10, 10) | box(11, 11, 15, 15)
    assert np.array_equal(masks.component_at(both, (6, 6), "mask"), both)


@pytest.mark.parametrize("at", [(60.0, 5.0), (-1.0, 5.0), (5.0, math.nan)])
def test_a_point_outside_of_the_picture_is_refused(at: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="outside"):
        masks.component_at(box(5, 5, 10, 10), at, "mask")


@given(st.floats(-0.5, 59.5), st.floats(-0.5, 39.5))
def test_every_point_on_the_picture_finds_a_part(x: float, y: float) -> None:
    first, second = box(5, 5, 10, 10), box(40, 20, 50, 30)
    found = masks.component_at(first | second, (x, y), "mask")
    assert np.array_equal(found, first) or np.array_equal(found, second)


def test_the_centroid_is_the_mean_of_the_pixel_centres() -> None:
    assert masks.centroid(box(10, 20, 13, 22)) == (11.5, 21.0)


# -- moving and the editable area --------------------------------------------------------------------------------------


@given(st.integers(-70, 70), st.integers(-50, 50))
def test_a_mask_shifts_exactly_and_is_lost_beyond_the_border(dx: int, dy: int) -> None:
    mask = ring()
    ys, xs = np.nonzero(mask)
    expected = np.zeros(SIZE, dtype=np.bool_)
    kept = (xs + dx >= 0) & (xs + dx < 60) & (ys + dy >= 0) & (ys + dy < 40)
    expected[ys[kept] + dy, xs[kept] + dx] = True
    assert np.array_equal(masks.warp_mask(mask, ((1.0, 0.0, dx), (0.0, 1.0, dy))), expected)


def test_a_quarter_turn_of_a_mask_is_rot90() -> None:
    mask = np.zeros((21, 21), dtype=np.bool_)
    mask[2:9, 3:5] = True
    turned = masks.warp_mask(mask, about((10, 10), rotation(math.pi / 2)))
    assert np.array_equal(turned, np.rot90(mask, -1))


@given(st.integers(5, 30), st.integers(5, 20), st.integers(-4, 25), st.integers(-4, 15))
def test_the_area_holds_the_box_around_source_and_target_of_an_upright_move(x: int, y: int, dx: int, dy: int) -> None:
    source, target = box(x, y, x + 4, y + 4), box(x + dx, y + dy, x + dx + 4, y + dy + 4)
    area = masks.editable_area([(source, target)])
    assert area[source | target].mean() > 0.75  # corners are cut to whole pixels, as published
    if dx == 0 or dy == 0:
        assert np.array_equal(area, box(min(x, x + dx), min(y, y + dy), max(x, x + dx) + 4, max(y, y + dy) + 4))


def test_the_area_of_several_operations_is_their_union() -> None:
    pairs = [(box(5, 5, 9, 9), box(15, 5, 19, 9)), (box(40, 20, 44, 24), box(40, 30, 44, 34))]
    assert np.array_equal(masks.editable_area(pairs), box(5, 5, 19, 9) | box(40, 20, 44, 34))


def test_a_margin_grows_the_area_by_a_disc() -> None:
    pairs = [(box(20, 15, 24, 19), box(26, 15, 30, 19))]
    grown = masks.editable_area(pairs, 5)
    assert not (masks.editable_area(pairs) & ~grown).any()
    ys, xs = np.nonzero(grown)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (15, 35, 10, 24)
    assert not grown[10, 15]


def test_the_feather_rises_inwards_and_is_nothing_outside() -> None:
    mask = box(10, 10, 49, 29)
    weight = masks.feather(mask, 4)
    assert (weight[~mask] == 0).all()
    assert weight[20, 10:16].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert np.array_equal(masks.feather(mask, 0) > 0, mask)


def test_the_border_of_the_picture_is_no_rim() -> None:
    weight = masks.feather(box(0, 0, 29, 39), 8)
    assert (weight[:, 0] == 1).all()
    assert weight[20, 29] == pytest.approx(1 / 9)


@pytest.mark.parametrize("pixels", [200, 4096])
def test_a_mask_is_grown_by_any_radius_at_once(pixels: int) -> None:
    mask = np.zeros((600, 800), dtype=np.bool_)
    mask[300, 400] = True
    ys, xs = np.indices(mask.shape)
    assert np.array_equal(masks.dilate(mask, pixels), np.hypot(xs - 400, ys - 300) <= pixels)
