"""The pixel preview: regions at their targets, holes filled, nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Motion, Rotate, Scale, Translate
from dragflow.core.task import Box, DragTask, Instruction, Operation, Region
from dragflow.pixels.drawing import marks, overlay
from dragflow.pixels.plate import background_plate
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

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
    shown = draw_preview(asked)
    assert np.array_equal(shown[~asked.area], IMAGE[~asked.area])
    assert (shown != IMAGE)[asked.area].any()


def test_a_shift_by_whole_pixels_carries_the_pixels_themselves() -> None:
    shown = draw_preview(task(Translate((47.5, 30.5))))  # by (30, 3); the two outermost pixels are blended
    assert np.array_equal(shown[25:37, 42:54], IMAGE[22:34, 12:24])


def test_a_quarter_turn_carries_the_pixels_themselves() -> None:
    shown = draw_preview(task(Rotate((40, 40), degrees=180)))
    inner = np.s_[22:34, 12:24]
    assert np.array_equal(shown[80 - 33 : 80 - 21, 80 - 23 : 80 - 11], IMAGE[inner][::-1, ::-1])


def test_the_hole_of_a_uniform_picture_is_filled_with_its_colour() -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    image[20:36, 10:26] = (255, 0, 0)
    shown = draw_preview(task(Translate((60, 28)), image=image))
    assert (np.abs(shown[20:36, 10:26].astype(int) - 200) <= 4).all()
    assert (shown[22:34, 54:66] == (255, 0, 0)).all()


def test_without_a_hole_the_plate_is_the_picture() -> None:
    assert np.array_equal(background_plate(IMAGE, np.zeros((60, 80), np.bool_)), IMAGE)


def test_the_overlay_has_the_size_of_the_picture_and_leaves_it_alone() -> None:
    before = IMAGE.copy()
    asked = task(Rotate((30, 50), degrees=50))
    drawn = overlay(asked)
    assert drawn.shape == IMAGE.shape
    assert np.array_equal(IMAGE, before)
    assert not np.array_equal(drawn, draw_preview(asked))


def test_marks_tint_source_and_target_and_leave_the_rest() -> None:
    image = np.full((256, 256, 3), 100, np.uint8)
    drawn = marks(task(Translate((200, 60)), Box(40, 40, 80, 80), image))  # by (140, 0)
    source, target = 100 * 0.65 + np.array([66, 135, 245]) * 0.35, 100 * 0.65 + np.array([52, 199, 89]) * 0.35
    assert np.abs(drawn[75, 45] - source).max() <= 1
    assert np.abs(drawn[75, 185] - target).max() <= 1
    assert np.abs(drawn[60, 40] - np.array([66, 135, 245])).max() < 60  # a smoothed line, with black beside it
    assert drawn[60, 38].max() < 60
    assert drawn[60, 120].min() > 195  # the arrow
    assert (drawn[100:] == 100).all()
    assert (drawn[:20] == 100).all()


def test_marks_of_a_rotation_stand_at_the_turned_place_and_at_the_anchor() -> None:
    image = np.full((256, 256, 3), 100, np.uint8)
    drawn = marks(task(Rotate((128, 128), degrees=90), Box(108, 20, 148, 60), image))  # from above to the right
    assert np.abs(drawn[140, 205] - (100 * 0.65 + np.array([52, 199, 89]) * 0.35)).max() <= 1
    assert np.abs(drawn[128, 128] - np.array([255, 59, 48])).max() < 60
    assert (drawn[200:] == 100).all()


def test_marks_do_not_say_whether_a_part_stretches() -> None:
    assert np.array_equal(marks(task(Translate((50, 30)))), marks(task(Translate((50, 30), "deformation"))))


@pytest.mark.parametrize(("size", "width"), [(64, 1), (256, 1), (1024, 4)])
def test_the_lines_of_marks_grow_with_the_picture(size: int, width: int) -> None:
    image = np.full((size, size, 3), 255, np.uint8)
    box = Box(0.25 * size, 0.25 * size, 0.5 * size, 0.5 * size)
    drawn = marks(task(Translate((0.8 * size, 0.7 * size)), box, image))
    column = np.abs(drawn[: int(0.45 * size), int(0.4 * size)] - np.array([66, 135, 245])).max(axis=1)
    assert width <= int((column < 60).sum()) <= width + 1


@pytest.mark.parametrize("grey", [0, 255])
def test_marks_are_seen_on_black_and_on_white(grey: int) -> None:
    image = np.full((256, 256, 3), grey, np.uint8)
    drawn = marks(task(Translate((200, 60)), Box(40, 40, 80, 80), image)).astype(int)
    assert np.abs(drawn[60, 36:45] - grey).max() > 100
    assert np.abs(drawn[54:67, 120] - grey).max() > 150
