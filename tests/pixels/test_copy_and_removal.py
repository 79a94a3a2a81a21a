"""A copied thing stays and appears at its targets; a removed one leaves a filled hole, without its shadow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from dragflow.core.errors import UserError
from dragflow.core.motion import Motion, Remove, Translate
from dragflow.core.task import Box, DragTask, Instruction, MaskArray, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.red_bench import sample_files
from dragflow.pixels.drawing import marks
from dragflow.pixels.ghost import ghost_of
from dragflow.pixels.layers import Kept
from dragflow.pixels.preview import draw_preview, hole, places
from dragflow.pixels.resolve import resolve

SIZE = (120, 160)
ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
BALL = np.hypot(xs - 45, ys - 50) <= 16
GROUND = np.clip(np.random.default_rng(0).normal((150, 170, 160), 2, (*SIZE, 3)), 0, 255).astype(np.uint8)


def picture() -> Any:
    """A ball over its shadow, which is 7 pixels to the right and below."""
    cast = cv2.GaussianBlur(np.roll(BALL, (7, 7), (0, 1)).astype(np.float32), (0, 0), 2.0)
    image = GROUND * (1 - 0.4 * cast[..., None])
    image[BALL] = (200, 60, 50)
    return np.rint(image).astype(np.uint8)


PICTURE = picture()


def asked(*motions: Motion, cut: Any = "soft", behind: Any = None, **more: Any) -> DragTask:
    operations = [Operation(MaskArray(BALL), motion, cut=cut, behind=behind) for motion in motions]
    return resolve(PICTURE, Instruction(operations, **more))


COPIES = Translate((115, 40), "copy"), Translate((110, 90), "copy")


def off(found: Any, expected: Any, where: Any) -> float:
    return float(np.abs(found.astype(float) - expected)[where].mean())


def test_a_removed_thing_leaves_with_its_shadow() -> None:
    task = asked(Remove())
    assert off(draw_preview(task), GROUND, task.area) < 3
    assert off(PICTURE, GROUND, task.area & ~BALL) > 5  # the shadow was there, and is in the area
    assert (draw_preview(task) == PICTURE)[~task.area].all()


def test_a_copied_thing_stays_and_is_at_every_target_with_its_shadow() -> None:
    task = asked(*COPIES)
    drawn = draw_preview(task)
    assert (drawn == PICTURE)[BALL].all()
    assert not (task.area & BALL).any()
    for x, y in ((115, 40), (110, 90)):
        assert (drawn[y, x] == (200, 60, 50)).all()
        shadow = (np.hypot(xs - x - 7, ys - y - 7) <= 13) & ~(np.hypot(xs - x, ys - y) <= 19)
        assert drawn[shadow].mean() < GROUND[shadow].mean() - 30


def test_a_region_is_moved_and_copied_at_once_and_moved_only_once() -> None:
    drawn = draw_preview(asked(Translate((115, 40), "relocation"), COPIES[1]))
    assert off(drawn, GROUND, BALL) < 3
    assert (drawn[40, 115] == drawn[90, 110]).all()
    with pytest.raises(UserError, match="a pixel can move, or be removed, only once"):
        asked(Remove(), Translate((115, 40), "relocation"))


def test_what_is_copied_several_times_is_snapped_alike() -> None:
    rough = Box(28, 33, 62, 67)
    task = resolve(PICTURE, Instruction([Operation(rough, motion) for motion in COPIES]))
    first, second = (op.mask for op in task.operations)
    assert np.array_equal(first, second)
    assert (first & BALL).sum() > 0.95 * BALL.sum()


def test_models_are_told_of_no_hole_under_a_copy_and_of_no_target_of_a_removal() -> None:
    copied, removed = asked(COPIES[0]), asked(Remove())
    _, left, target = places(copied)
    assert not left.any()
    assert target[40, 115]
    _, left, target = places(removed)
    assert (left == BALL).all()
    assert not target.any()
    assert not (hole(copied, 4) & BALL).any()
    assert hole(removed, 4)[BALL].all()


def test_the_ghost_of_a_copy_needs_no_plate_and_that_of_a_removal_is_its_plate() -> None:
    copied, removed = ghost_of(asked(COPIES[0])), ghost_of(asked(Remove()))
    assert copied.plate is None
    assert copied.regions[0].cutout is not None
    assert removed.plate is not None
    assert removed.regions[0].cutout is None
    assert removed.regions[0].shadow is None


def test_layers_of_a_copy_are_not_those_of_a_move() -> None:
    kept = Kept()
    moved = asked(Translate((115, 40), "relocation"))
    assert kept.of(moved) is not kept.of(asked(COPIES[0]))


def test_a_settled_instruction_repeats_itself() -> None:
    task = asked(Remove(), COPIES[0], cut=None)
    again = resolve(PICTURE, task.instruction)
    assert np.array_equal(draw_preview(task), draw_preview(again))
    assert [op.motion for op in again.operations] == [Remove(), COPIES[0]]


def test_only_what_is_removed_is_marked_red() -> None:
    removed, moved = marks(asked(Remove())), marks(asked(Translate((115, 40), "relocation")))
    assert removed[55, 45, 0] > moved[55, 45, 0] + 50  # beside the middle, where an arrow begins
    assert (removed[40, 115] == PICTURE[40, 115]).all()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (lambda: asked(Remove(), behind=Box(0, 0, 9, 9)), "passes behind nothing"),
        (lambda: asked(Remove(), editable=Box(100, 80, 120, 100)), "does not touch the region of operation 0"),
        (lambda: asked(replace(COPIES[0], to=(45, 50)), cut="hard"), "the motion is zero"),
        (lambda: sample_files(from_pixels(PICTURE), Instruction(Operation(MaskArray(BALL), COPIES[0]))), "copies its"),
        (lambda: sample_files(from_pixels(PICTURE), Instruction(Operation(MaskArray(BALL), Remove()))), "not remove"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(task: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        task()


@pytest.mark.parametrize("left", [1, 3])
def test_what_leaves_a_thin_strip_of_background_is_filled_from_that(left: int) -> None:
    picture = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    picture[: 48 - left] = (20, 90, 160)
    drawn = draw_preview(resolve(picture, Instruction(Operation(Box(0, 0, 63, 47 - left), Remove()))))
    assert np.abs(drawn[:40].astype(float) - (200, 60, 30)).mean() < 8
