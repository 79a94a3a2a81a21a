"""Regions that are the things under the handles: drawn things, whose motion and label are known."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.bench.data.discs import Inferred
from dragflow.bench.data.points import infer
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.motion import Rotate, Translate
from dragflow.core.task import DragTask, Instruction, MaskArray
from dragflow.pixels.resolve import resolve

SIZE = (200, 240)
Pairs = list[tuple[Point, Point]]


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def scene(*things: Mask) -> Pixels:
    image = np.full((*SIZE, 3), (90, 110, 90), np.float32)
    for thing, colour in zip(things, ((200, 40, 40), (40, 60, 190)), strict=False):
        image[thing] = colour
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def inferred(image: Pixels, pairs: Pairs, editable: Mask | None = None) -> tuple[Inferred, DragTask]:
    found = infer([p for p, _ in pairs], [q for _, q in pairs], image, editable, "thing")
    area = None if editable is None else MaskArray(editable)
    return found, resolve(image, Instruction(found.operations, editable=area, editable_mode="extend"))


def likeness(found: Mask, truth: Mask) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("way", [10, 70])
def test_one_pair_takes_the_whole_thing_however_far_it_goes(way: int) -> None:
    thing = box(40, 60, 90, 110)
    found, task = inferred(scene(thing), [((60, 80), (60 + way, 80))], box(20, 40, 200, 130))
    (operation,) = task.operations
    assert likeness(operation.mask, thing) > 0.95
    assert operation.motion == Translate((60 + way, 80), "relocation")
    assert found.text == "the thing at the points, translation from 1 pair"


def test_pairs_of_one_thing_are_one_region_with_one_motion() -> None:
    thing = box(80, 60, 150, 90)
    # A tenth of a turn about (115, 75), each target off by a pixel or two.
    pairs: Pairs = [((85, 75), (90.5, 58.5)), ((145, 75), (138, 93)), ((115, 65), (122, 67))]
    found, task = inferred(scene(thing), pairs, box(60, 20, 170, 130))
    (operation,) = task.operations
    assert likeness(operation.mask, thing) > 0.95
    assert isinstance(operation.motion, Rotate)
    assert operation.motion.degrees == pytest.approx(36, abs=4)
    assert found.text == "the thing at the points, rigid motion from 3 pairs"


def test_each_of_two_things_has_its_own_motion() -> None:
    left, right = box(30, 60, 70, 110), box(150, 60, 190, 110)
    pairs: Pairs = [((50, 80), (50, 100)), ((170, 80), (150, 60))]
    _, task = inferred(scene(left, right), pairs, box(10, 20, 220, 150))
    assert [op.motion for op in task.operations] == [
        Translate((50, 100), "relocation"),
        Translate((150, 60), "relocation"),
    ]
    for operation, thing in zip(task.operations, (left, right), strict=True):
        assert likeness(operation.mask, thing) > 0.95


def test_a_thing_that_goes_on_beyond_the_area_is_a_part_and_keeps_something_that_stretches() -> None:
    arm, area = box(0, 80, 140, 110), box(60, 40, 220, 150)
    found, task = inferred(scene(arm), [((130, 95), (145, 95))], area)
    (operation,) = task.operations
    assert operation.motion == Translate((145, 95), "deformation")
    ys, xs = np.nonzero(operation.mask)
    assert not (operation.mask & ~arm).any()
    assert xs.min() == pytest.approx(60 + 15, abs=2)  # as far from the area's rim as it goes
    assert (xs.max(), ys.min(), ys.max()) == (140, 80, 110)
    assert found.text.endswith("a part as it goes on beyond the mask")


def test_a_thing_without_room_in_the_area_is_deformed_around_its_handle() -> None:
    thing = box(60, 50, 170, 140)
    found, _ = inferred(scene(thing), [((110, 90), (150, 90))], box(55, 45, 175, 145))
    assert found.text == "disc of radius 20 px, translation from 1 pair"


def test_pairs_that_close_on_each_other_are_two_regions() -> None:
    thing = box(60, 50, 170, 140)
    pairs: Pairs = [((90, 90), (105, 94)), ((140, 90), (125, 94))]
    _, task = inferred(scene(thing), pairs, box(40, 30, 190, 160))
    assert [op.motion for op in task.operations] == [
        Translate((105, 94), "deformation"),
        Translate((125, 94), "deformation"),
    ]


def test_things_that_overlap_are_discs_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything_left(image: Pixels, points: list[Point], within: Mask | None) -> Mask:
        found = box(20, 20, 120, 120)
        for x, y in ((50, 50), (100, 100)):
            found[y, x] = (x, y) == points[0]
        return found

    monkeypatch.setattr("dragflow.bench.data.things.select_at", everything_left)
    pairs: Pairs = [((50, 50), (50, 60)), ((100, 100), (90, 100))]
    found, task = inferred(scene(), pairs, box(10, 10, 200, 180))
    assert len(task.operations) == 2
    assert found.text.startswith("discs of radius 7 px")
    assert found.text.endswith("the things under the points overlap")
