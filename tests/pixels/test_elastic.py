"""The elastic warp: exact in the part, still at the rim, no fold between them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Affine, Motion, Rotate, Scale, Translate, invert
from dragflow.core.task import Box, DragTask, Instruction, MaskArray, Operation
from dragflow.pixels.elastic import Elastic, elastic, stretched
from dragflow.pixels.masks import warp_mask
from dragflow.pixels.resolve import resolve

SIZE = (120, 160)
PART, AREA = Box(60, 45, 90, 75), Box(20, 10, 140, 110)
ys, xs = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
MOTIONS = [
    Translate((95, 55), "deformation"),
    Translate((110, 60), "deformation"),
    Rotate((75, 60), degrees=60, label="deformation"),
    Scale((75, 60), 1.5, "deformation"),
    Affine(((1.2, 0.3, -20), (-0.2, 0.9, 15)), "deformation"),
]


def task(*operations: Operation, area: Box | None = AREA) -> DragTask:
    image = np.zeros((*SIZE, 3), np.uint8)
    return resolve(image, Instruction(operations, editable=area))


def warp(motion: Motion, area: Box | None = AREA) -> Elastic:
    made = elastic(task(Operation(PART, motion), area=area))
    assert made is not None
    return made


def slopes(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """The determinant of the map that says where pixels come from."""
    x, y = xs + field[..., 0], ys + field[..., 1]
    return np.gradient(x, axis=1) * np.gradient(y, axis=0) - np.gradient(x, axis=0) * np.gradient(y, axis=1)


@pytest.mark.parametrize("progress", [0.3, 1.0])
@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_in_the_part_the_map_is_the_motion_asked_for(motion: Motion, progress: float) -> None:
    made = warp(motion)
    matrix = made.parts[0].matrix(progress)
    inside = warp_mask(made.parts[0].mask, matrix) & made.task.area
    (a, b, c), (d, e, f) = invert(matrix)
    expected = np.stack([a * xs + b * ys + c - xs, d * xs + e * ys + f - ys], axis=-1)
    assert np.allclose(made.displacement(progress)[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_outside_of_the_area_nothing_moves_and_at_its_rim_hardly_anything(motion: Motion) -> None:
    made = warp(motion)
    field = np.hypot(*np.moveaxis(made.displacement(), -1, 0))
    assert not field[~made.task.area].any()
    rim = np.zeros(SIZE, np.bool_)
    rim[10:111, [20, 140]] = rim[[10, 110], 20:141] = True
    assert field[rim].max() < 2.5
    assert field[made.task.area].max() > 5


@pytest.mark.parametrize("motion", MOTIONS, ids=str)
def test_the_picture_does_not_fold(motion: Motion) -> None:
    made = warp(motion)
    field = made.displacement(exact=())
    assert slopes(field)[made.task.area].min() > 0


def test_at_no_progress_nothing_moves() -> None:
    assert not warp(MOTIONS[0]).displacement(0.0).any()


def test_a_gap_that_gives_way_evenly_is_shared_by_the_distance() -> None:
    """Along the middle row from the part's right edge, 90, to the rim, 140: 10 of the 50 pixels are squeezed."""
    made = warp(Translate((85, 60), "deformation"))
    row = made.displacement()[60, :, 0]
    assert row[70:100] == pytest.approx(-10, abs=1e-4)
    inner = -row[101:140]
    assert (np.diff(inner) < 0.1).all()
    assert inner[19] == pytest.approx(5, abs=1.5)


def test_a_part_of_less_than_a_cell_moves_too() -> None:
    speck = np.zeros(SIZE, np.bool_)
    speck[60, 75] = True
    made = elastic(task(Operation(MaskArray(speck), Translate((85, 60), "deformation"))))
    assert made is not None
    assert made.displacement()[60, 85].tolist() == [-10, 0]


def test_two_parts_move_each_as_told_and_the_last_is_on_top() -> None:
    left, right = Box(40, 50, 60, 70), Box(90, 50, 110, 70)
    made = elastic(
        task(Operation(left, Translate((70, 60), "deformation")), Operation(right, Translate((85, 60), "deformation")))
    )
    assert made is not None
    field = made.displacement()
    assert field[60, 60:75, 0] == pytest.approx(-20)
    assert field[60, 76:95, 0] == pytest.approx(15)


def test_the_weights_are_one_on_the_part_and_none_outside() -> None:
    made = warp(MOTIONS[0])
    (weight,) = made.weights()
    assert (weight[made.parts[0].mask] > 0.999).all()
    assert not weight[~made.task.area].any()
    assert 0 < weight[60, 115] < 1


def test_a_task_without_deformations_has_no_warp() -> None:
    assert elastic(task(Operation(PART, Translate((95, 55), "relocation")))) is None


def test_a_part_that_turns_about_its_joint_takes_nothing_along_and_one_that_leaves_it_does() -> None:
    joint = np.zeros(SIZE, np.bool_)
    joint[55:66, 60] = True

    def joined(motion: Motion) -> Elastic | None:
        asked = task(Operation(PART, motion))
        operations = tuple(type(op)(op.mask, op.motion, op.handle, joint) for op in asked.operations)
        return elastic(type(asked)(asked.image, operations, asked.area, asked.instruction))

    assert joined(Rotate((60, 60), degrees=40, label="deformation")) is None
    moved = joined(Translate((95, 60), "deformation"))
    assert moved is not None
    assert moved.whole == ()
    field = moved.displacement(exact=())
    assert field[60, 79, 0] == pytest.approx(-20, abs=1)  # behind the joint's new place
    assert abs(field[44, 100, 0]) < 8  # beside the free rim the picture hardly moves


def test_a_shift_by_whole_pixels_carries_the_pixels_themselves() -> None:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    field = np.full((*SIZE, 2), (-3, 2), np.float32)
    assert np.array_equal(stretched(image, field)[:-2, 3:], image[2:, :-3])


def test_what_shrinks_is_blurred_first() -> None:
    stripes = np.zeros((*SIZE, 3), np.uint8)
    stripes[:, ::2] = 255
    field = np.zeros((*SIZE, 2), np.float32)
    field[..., 0] = 2.95 * xs  # each pixel stands for four
    shown = stretched(stripes, field)[:, 5:30]
    assert np.abs(shown.astype(int) - 127).max() < 25
