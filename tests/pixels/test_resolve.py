"""The rules of an instruction on its picture: every one named, none repaired."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dragflow.core.errors import UserError
from dragflow.core.motion import IDENTITY, Affine, Motion, Rotate, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation, Region
from dragflow.pixels.layers import layers_of
from dragflow.pixels.masks import editable_area, rasterise, warp_mask
from dragflow.pixels.resolve import resolve

IMAGE = np.zeros((40, 60, 3), dtype=np.uint8)
BOX = Box(10, 10, 20, 20)
MOVE = Translate((40, 20))


def asked(*operations: Operation, editable: Region | None = None, mode: str = "replace") -> Instruction:
    return Instruction(operations, editable=editable, editable_mode=mode)  # pyright: ignore[reportArgumentType]


def test_a_request_is_rasterised_and_its_handle_is_the_centroid() -> None:
    task = resolve(IMAGE, asked(Operation(BOX, MOVE, cut="hard")))
    (operation,) = task.operations
    assert operation.handle == (15, 15)
    assert operation.matrix() == ((1, 0, 25), (0, 1, 5))
    source = rasterise(BOX, (40, 60))
    target = warp_mask(source, operation.matrix())
    assert np.array_equal(operation.mask, source)
    assert np.array_equal(task.area, editable_area([(source, target)]) | source | target)


def test_a_handle_of_ones_own_is_what_goes_to_the_target() -> None:
    (operation,) = resolve(IMAGE, asked(Operation(BOX, MOVE, handle=(10, 10)))).operations
    assert operation.matrix() == ((1, 0, 30), (0, 1, 10))


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (Translate((60, 5)), r"target \(60, 5\).*60 x 40"),
        (Translate((5, -0.6)), r"target \(5, -0.6\)"),
        (Translate((15, 15)), "motion is zero"),
        (Translate((15.3, 15)), "motion is zero"),
        (Rotate((70, 5), degrees=5), r"anchor \(70, 5\)"),
        (Rotate((30, 30)), "either a target point or degrees"),
        (Rotate((30, 30), to=(20, 20), degrees=5), "either a target point or degrees"),
        (Rotate((15, 15), to=(30, 30)), r"anchor \(15, 15\).*centroid"),
        (Rotate((30, 30), to=(30, 30)), r"anchor \(30, 30\).*target"),
        (Rotate((30, 30), to=(90, 30)), r"target \(90, 30\)"),
        (Rotate((30, 30), degrees=0), "motion is zero"),
        (Rotate((30, 30), degrees=360), "motion is zero"),
        (Rotate((5, 5), to=(25, 25)), "motion is zero"),
        (Rotate((59, 15), degrees=180), "entirely outside"),
        (Scale((15, 15), 1.0), "motion is zero"),
        (Scale((15, 99), 2.0), r"anchor \(15, 99\)"),
        (Scale((59, 39), 10.0), "entirely outside"),
        (Affine(IDENTITY), "motion is zero"),
        (Affine(((1, 0, 100), (0, 1, 0))), "entirely outside"),
        (Affine(((1, 0, 0), (1, 0, 0))), "determinant"),
    ],
)
def test_a_motion_that_breaks_a_rule_is_named_with_its_operation(motion: Motion, words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve(IMAGE, asked(Operation(BOX, motion)))
    good = Operation(Box(40, 30, 45, 35), Translate((50, 35)))
    with pytest.raises(UserError, match="operation 1"):
        resolve(IMAGE, asked(good, Operation(BOX, motion)))


@pytest.mark.parametrize("handle", [(60.0, 5.0), (5.0, -0.6)])
def test_a_handle_outside_of_the_picture_is_refused(handle: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="operation 0: handle"):
        resolve(IMAGE, asked(Operation(BOX, MOVE, handle)))


def test_no_operation_is_refused() -> None:
    with pytest.raises(UserError, match="no operation"):
        resolve(IMAGE, asked())


def test_regions_that_overlap_are_refused_with_how_much() -> None:
    with pytest.raises(UserError, match="operations 0 and 1 share 11 pixels"):
        resolve(IMAGE, asked(Operation(BOX, MOVE), Operation(Box(20, 10, 30, 20), MOVE)))


def test_regions_that_lie_side_by_side_are_two() -> None:
    task = resolve(IMAGE, asked(Operation(BOX, MOVE), Operation(Box(21, 10, 30, 20), Translate((45, 30)))))
    assert [int(op.mask.sum()) for op in task.operations] == [121, 110]


@pytest.mark.parametrize("region", [Box(-5, 0, 5, 5), MaskArray(np.zeros((40, 60), np.bool_))])
def test_a_bad_region_is_named_with_its_operation(region: Region) -> None:
    with pytest.raises(UserError, match="operation 0"):
        resolve(IMAGE, asked(Operation(region, MOVE)))


def covered(region: Region) -> NDArray[np.bool_]:
    return rasterise(region, (40, 60))


def test_a_given_area_replaces_or_extends_the_derived_one() -> None:
    derived = resolve(IMAGE, asked(Operation(BOX, MOVE))).area
    given_area = Box(30, 5, 50, 39)
    replaced = resolve(IMAGE, asked(Operation(BOX, MOVE), editable=given_area)).area
    extended = resolve(IMAGE, asked(Operation(BOX, MOVE), editable=given_area, mode="extend")).area
    assert np.array_equal(replaced, covered(given_area))
    assert np.array_equal(extended, covered(given_area) | derived)


def test_an_area_in_which_the_edit_could_not_show_is_refused() -> None:
    with pytest.raises(UserError, match="target of operation 0"):
        resolve(IMAGE, asked(Operation(BOX, MOVE), editable=Box(0, 30, 5, 39)))


def test_a_margin_grows_the_derived_area_only() -> None:
    operation = Operation(BOX, MOVE)
    plain, grown = resolve(IMAGE, asked(operation)).area, resolve(IMAGE, asked(operation), margin=3).area
    assert grown.sum() > plain.sum()
    assert not (plain & ~grown).any()
    fixed = resolve(IMAGE, asked(operation, editable=Box(30, 5, 50, 39)), margin=3).area
    assert np.array_equal(fixed, covered(Box(30, 5, 50, 39)))


@settings(deadline=None)
@given(st.floats(-30, 90), st.floats(-30, 70), st.floats(-180, 180))
def test_a_checked_task_moves_something_to_somewhere_inside(x: float, y: float, degrees: float) -> None:
    for motion in (Translate((x, y)), Rotate((x, y), degrees=degrees), Scale((x, y), 1.7)):
        try:
            task = resolve(IMAGE, asked(Operation(BOX, motion)))
        except UserError:
            continue
        (operation,) = task.operations
        target = warp_mask(operation.mask, operation.matrix())
        assert target.any()
        assert not ((operation.mask | target) & ~task.area).any()


@pytest.mark.parametrize("side", [120, 1100])
def test_the_derived_area_holds_the_soft_rim_before_and_after(side: int) -> None:
    picture = np.full((side, side, 3), 200, np.uint8)
    ys, xs = np.mgrid[:side, :side]
    ball = np.hypot(xs - 0.3 * side, ys - 0.3 * side) < 0.1 * side
    picture[ball] = (40, 60, 90)
    move = Operation(MaskArray(ball), Translate((0.6 * side, 0.55 * side), "relocation"), cut="soft")
    task = resolve(picture, Instruction((move,)))
    piece = layers_of(task).regions[0].piece
    assert piece.support.sum() > ball.sum()
    assert not (piece.support & ~task.area).any()
    _, weight = piece.moved(task.operations[0].matrix(), (side, side))
    assert not ((weight[..., 0] > 0.02) & ~task.area).any()
    assert np.array_equal(task.operations[0].mask, ball)
    hard = resolve(picture, Instruction((move,)).as_painted)
    assert hard.area.sum() < task.area.sum()
