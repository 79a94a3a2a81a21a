"""Regions inferred from points against regions drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dragflow.bench.data.discs import Inferred, radius
from dragflow.bench.data.points import RegionRule, infer, merge
from dragflow.core.arrays import Point
from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Rotate, Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels.resolve import resolve

SIZE = (400, 500)
Mask = NDArray[np.bool_]


def inferred(pairs: Sequence[tuple[Point, Point]], editable: Mask | None = None, rule: RegionRule = "disc") -> Inferred:
    image = np.zeros((*SIZE, 3), np.uint8)
    found = infer([p for p, _ in pairs], [q for _, q in pairs], image, editable, rule)
    area = None if editable is None else MaskArray(editable)
    resolve(image, Instruction(found.operations, editable=area, editable_mode="extend"))
    return found


def mask_of(operation: Operation) -> Mask:
    assert isinstance(operation.region, MaskArray)
    return operation.region.array


def disc(x: float, y: float, r: float) -> Mask:
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot(xs - x, ys - y) <= r


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def test_one_pair_is_a_disc_of_its_length_over_the_root_of_two() -> None:
    found = inferred([((200, 100), (231, 100))])
    (operation,) = found.operations
    assert operation.motion == Translate((231, 100))
    assert operation.handle == (200, 100)
    np.testing.assert_array_equal(mask_of(operation), disc(200, 100, 31 / math.sqrt(2)))
    assert found.text == "disc of radius 22 px, translation from 1 pair"


@pytest.mark.parametrize(("length", "expected"), [(1, 6.25), (20, 20 / math.sqrt(2)), (300, 40)])
def test_the_radius_stays_between_a_64th_and_a_tenth_of_the_short_side(length: float, expected: float) -> None:
    assert radius(length, SIZE) == pytest.approx(expected)
    assert radius(length, (500, 400)) == pytest.approx(expected)


def test_pairs_that_do_not_move_are_left_out_and_told() -> None:
    found = inferred([((200, 100), (230, 100)), ((100, 300), (100, 300.4))])
    assert len(found.operations) == 1
    assert found.text.endswith("from 1 pair; 1 without motion left out")
    with pytest.raises(UserError, match=r"no point pair moves by 0\.5 pixels or more"):
        inferred([((200, 100), (200, 100)), ((100, 300), (100, 300.4))])


def test_pairs_of_one_begin_pixel_are_their_mean_in_the_order_given() -> None:
    begins, targets = merge([(50, 5), (20, 3), (50.2, 5), (20, 3)], [(60, 5), (40, 3), (70.2, 5), (20, 3)])
    np.testing.assert_allclose(begins, [[50.1, 5], [20, 3]])
    np.testing.assert_allclose(targets, [[65.1, 5], [30, 3]])
    found = inferred([((200, 100), (230, 100)), ((200, 100), (210, 100))])
    assert found.operations[0].motion == Translate((220, 100))
    assert "2 pairs begin at 1 places: their means" in found.text


def test_one_motion_of_several_pairs_has_the_grown_hull_as_its_region() -> None:
    found = inferred([((200, 100), (230, 100)), ((260, 100), (290, 100)), ((230, 150), (260, 150))])
    (operation,) = found.operations
    assert operation.handle == pytest.approx((230, 350 / 3))
    assert isinstance(operation.motion, Translate)
    assert operation.motion.to == pytest.approx((260, 350 / 3))
    mask, r = mask_of(operation), 30 / math.sqrt(2)
    discs = disc(200, 100, r) | disc(260, 100, r) | disc(230, 150, r)
    assert not (discs & ~mask).any()
    assert mask[115, 230]  # inside the triangle
    assert not mask[150, 200]  # beside it
    hull = 60 * 50 / 2 + (60 + 2 * math.hypot(30, 50)) * r + math.pi * r * r  # Steiner's formula
    assert mask.sum() == pytest.approx(hull, rel=0.02)
    assert found.text == "hull of 3 points grown by 21 px, translation from 3 pairs"


def test_a_rotation_is_about_its_fixed_point() -> None:
    found = inferred([((250, 150), (300, 200)), ((200, 200), (250, 150))])  # a quarter turn about (250, 200)
    (operation,) = found.operations
    assert isinstance(operation.motion, Rotate)
    assert operation.motion.about == pytest.approx((250, 200))
    assert operation.motion.degrees == pytest.approx(90)
    assert found.text.endswith("rigid motion from 2 pairs")


def test_a_growing_distance_is_a_similarity() -> None:
    (operation,) = inferred([((200, 200), (180, 200)), ((260, 200), (280, 200))]).operations
    assert isinstance(operation.motion, Affine)
    np.testing.assert_allclose(operation.motion.matrix, [[5 / 3, 0, -460 / 3], [0, 5 / 3, -400 / 3]], atol=1e-9)


def test_pairs_that_close_on_each_other_are_discs_of_their_own() -> None:
    found = inferred([((200, 200), (228, 200)), ((260, 200), (232, 200))])
    first, second = found.operations
    assert first.motion == Translate((228, 200))
    assert second.motion == Translate((232, 200))
    r = 28 / math.sqrt(2)
    np.testing.assert_array_equal(mask_of(first), disc(200, 200, r))
    np.testing.assert_array_equal(mask_of(second), disc(260, 200, r))
    assert found.text == "discs of radius 20 px, each of 2 pairs its own translation"


def test_two_pairs_that_half_close_do_not_shrink_what_is_beside_them() -> None:
    first, second = inferred([((200, 200), (210, 204)), ((240, 200), (230, 204))]).operations
    assert first.motion == Translate((210, 204))
    assert second.motion == Translate((230, 204))


def test_three_pairs_in_a_triangle_that_half_close_are_a_similarity() -> None:
    pairs: list[tuple[Point, Point]] = [((180, 180), (190, 190)), ((220, 180), (210, 190)), ((200, 220), (200, 210))]
    (operation,) = inferred(pairs).operations
    assert isinstance(operation.motion, Affine)
    np.testing.assert_allclose(np.array(operation.motion.matrix)[:, :2], np.eye(2) / 2, atol=0.03)


def test_pixels_of_two_discs_belong_to_the_nearest_handle() -> None:
    first, second = inferred([((200, 200), (160, 200)), ((220, 200), (220, 280))]).operations
    ours, theirs = mask_of(first), mask_of(second)
    assert not (ours & theirs).any()
    both = disc(200, 200, 40 / math.sqrt(2)) & disc(220, 200, 40)
    xs = np.arange(SIZE[1])[None].repeat(SIZE[0], 0)
    np.testing.assert_array_equal(ours & both, both & (xs <= 210))
    np.testing.assert_array_equal(theirs & both, both & (xs > 210))


def test_a_region_is_cut_by_the_part_of_the_mask_that_holds_its_handle() -> None:
    part, other = box(190, 60, 300, 140), box(150, 60, 186, 140)
    (operation,) = inferred([((200, 100), (241, 100))], part | other).operations
    r = 41 / math.sqrt(2)
    assert (disc(200, 100, r) & other).any()
    np.testing.assert_array_equal(mask_of(operation), disc(200, 100, r) & part)


@pytest.mark.parametrize(("gap", "is_cut"), [(14, True), (15, False)])  # half of the radius is 14.5
def test_a_handle_beside_the_mask_belongs_to_it_up_to_half_a_radius(gap: int, is_cut: bool) -> None:
    part = box(200 + gap, 60, 300, 140)
    found = inferred([((200, 100), (241, 100))], part)
    whole = disc(200, 100, 41 / math.sqrt(2))
    np.testing.assert_array_equal(mask_of(found.operations[0]), whole & part if is_cut else whole)
    assert ("far from it" in found.text) is not is_cut


def test_the_mask_rule_takes_each_part_with_its_own_motion() -> None:
    left, right, idle = box(50, 50, 150, 150), box(250, 50, 350, 150), box(250, 250, 350, 350)
    pairs: list[tuple[Point, Point]] = [((100, 100), (100, 130)), ((300, 80), (280, 80)), ((300, 120), (280, 120))]
    found = inferred(pairs, left | right | idle, "mask")
    assert [operation.motion for operation in found.operations] == [Translate((100, 130)), Translate((280, 100))]
    np.testing.assert_array_equal(mask_of(found.operations[0]), left)
    np.testing.assert_array_equal(mask_of(found.operations[1]), right)
    assert found.text == "2 parts of the mask at the points, translation from 1 pair, translation from 2 pairs"


@pytest.mark.parametrize(
    ("editable", "pairs", "why"),
    [
        (None, [((100, 100), (100, 130))], "covers the whole picture"),
        (box(50, 50, 150, 150), [((60, 100), (95, 100)), ((140, 100), (105, 100))], "move apart"),
        (box(0, 0, 30, 30), [((200, 200), (350, 200)), ((260, 200), (350, 260))], "leave the picture"),
    ],
)
def test_where_the_mask_rule_cannot_be_discs_are_taken_and_it_is_said(
    editable: Mask | None, pairs: list[tuple[Point, Point]], why: str
) -> None:
    found = inferred(pairs, editable, "mask")
    assert why in found.text
    for ours, discs in zip(found.operations, inferred(pairs, editable).operations, strict=True):
        np.testing.assert_array_equal(mask_of(ours), mask_of(discs))
        assert ours.motion == discs.motion


def test_handles_at_the_border_have_regions_inside_the_picture() -> None:
    found = inferred([((-0.5, -0.5), (220, 180)), ((499.5, 399.5), (270, 220))])
    assert len(found.operations) == 2
    assert mask_of(found.operations[0])[0, 0]
    assert mask_of(found.operations[1])[-1, -1]


def test_a_cut_that_would_leave_the_picture_is_not_made() -> None:
    part = box(105, 60, 300, 140)  # beside the handle, which goes to the left border
    (operation,) = inferred([((100, 100), (0, 100))], part).operations
    np.testing.assert_array_equal(mask_of(operation), disc(100, 100, 40) & part)
    away = box(60, 60, 95, 140)
    (operation,) = inferred([((100, 100), (0, 100))], away).operations
    np.testing.assert_array_equal(mask_of(operation), disc(100, 100, 40))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_moves_becomes_an_instruction_that_can_be_done(data: st.DataObject) -> None:
    point = st.tuples(st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1))
    pairs = data.draw(st.lists(st.tuples(point, point), min_size=1, max_size=5))
    corners = data.draw(st.tuples(point, point))
    (left, right), (top, bottom) = (sorted(side) for side in zip(*corners, strict=True))
    rule: RegionRule = data.draw(st.sampled_from(("disc", "mask")))
    assume(any(math.dist(p, q) >= 1 for p, q in pairs) and len({p for p, _ in pairs}) == len(pairs))
    found = inferred(pairs, box(left, top, right, bottom), rule)
    assert 1 <= len(found.operations) <= len(pairs)
