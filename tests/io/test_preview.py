"""The pixel preview: regions at their targets, holes filled, nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.task import Box, DragTask, Instruction, Motion, Operation, Region, Rotate, Scale, Translate
from dragflow.io.plate import background_plate
from dragflow.io.preview import ghost, overlay, trail
from dragflow.io.resolve import resolve

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
BOX = Box(10, 20, 25, 35)


def task(motion: Motion, region: Region = BOX, image: NDArray[np.uint8] = IMAGE) -> DragTask:
    return resolve(image, Instruction((Operation(region, motion),)))


@pytest.mark.parametrize(
    "motion",
    [Translate((50, 30)), Translate((50, 30), "deformation"), Rotate((30, 50), degrees=50), Scale((17, 27), 1.5)],
    ids=str,
)
def test_nothing_outside_of_the_area_changes(motion: Motion) -> None:
    asked = task(motion)
    shown = ghost(asked)
    assert np.array_equal(shown[~asked.area], IMAGE[~asked.area])
    assert (shown != IMAGE)[asked.area].any()


def test_a_shift_by_whole_pixels_carries_the_pixels_themselves() -> None:
    shown = ghost(task(Translate((47.5, 30.5))))  # by (30, 3); the outermost pixel is blended
    assert np.array_equal(shown[24:38, 41:55], IMAGE[21:35, 11:25])


def test_a_quarter_turn_carries_the_pixels_themselves() -> None:
    shown = ghost(task(Rotate((40, 40), degrees=180)))
    inner = np.s_[21:35, 11:25]
    assert np.array_equal(shown[80 - 34 : 80 - 20, 80 - 24 : 80 - 10], IMAGE[inner][::-1, ::-1])


def test_the_hole_of_a_uniform_picture_is_filled_with_its_colour() -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    image[20:36, 10:26] = (255, 0, 0)
    shown = ghost(task(Translate((60, 28)), image=image))
    assert (np.abs(shown[20:36, 10:26].astype(int) - 200) <= 4).all()
    assert (shown[22:34, 54:66] == (255, 0, 0)).all()


def test_a_deformation_leaves_its_own_colour_all_the_way() -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    image[20:36, 10:26] = (255, 0, 0)
    shown = ghost(task(Translate((57.5, 27.5), "deformation"), image=image))
    assert (shown[22:34, 12:64] == (255, 0, 0)).all()


def test_without_a_hole_the_plate_is_the_picture() -> None:
    assert np.array_equal(background_plate(IMAGE, np.zeros((60, 80), np.bool_)), IMAGE)


def test_only_a_deformation_has_a_trail() -> None:
    (moved,) = task(Translate((47.5, 27.5))).operations
    (stretched,) = task(Translate((47.5, 27.5), "deformation")).operations
    assert trail(moved) == [1.0]
    assert trail(stretched, cell=10) == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert trail(stretched, cell=1000) == [1.0]


def test_the_overlay_has_the_size_of_the_picture_and_leaves_it_alone() -> None:
    before = IMAGE.copy()
    asked = task(Rotate((30, 50), degrees=50))
    drawn = overlay(asked)
    assert drawn.shape == IMAGE.shape
    assert np.array_equal(IMAGE, before)
    assert not np.array_equal(drawn, ghost(asked))
