"""The provider `rules`: labels of drags whose meaning is plain, and the drags of scenes whose motion is known."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragflow.core.arrays import Point
from dragflow.core.motion import Remove, Scale, Translate
from dragflow.core.task import Box, Instruction, MaskArray, Operation
from dragflow.files.pictures import from_pixels
from dragflow.intent.accept import accept
from dragflow.intent.hints import hint, joint_of
from dragflow.intent.options import ProviderOptions
from dragflow.intent.registry import load_provider
from dragflow.intent.request import make_request
from dragflow.intent.rules import direction
from dragflow.pixels.resolve import resolve

BAR = Box(20, 44, 99, 55)
"""A bar of 80 x 12 pixels."""


def picture(*boxes: Box) -> Any:
    pixels = np.full((120, 160, 3), 220, np.uint8)
    for box in boxes:
        pixels[int(box.top) : int(box.bottom) + 1, int(box.left) : int(box.right) + 1] = (30, 60, 160)
    return pixels


def looked_at(region: Box, handle: Point, to: Point, *boxes: Box) -> Any:
    pixels = picture(*boxes)
    task = resolve(pixels, Instruction((Operation(region, Translate(to), handle),)))
    return hint(pixels, task.operations[0], to)


def test_a_whole_thing_taken_in_its_middle_is_carried() -> None:
    assert looked_at(BAR, (60, 50), (70, 90), BAR).label == "relocation"


def test_the_far_end_of_a_whole_thing_going_round_the_other_end_turns_it() -> None:
    # About (20, 50) by 30 degrees from (98, 50); the anchor is where the bisector of the arrow meets the bar's axis.
    to = (20 + 78 * math.cos(math.pi / 6), 50 + 78 * math.sin(math.pi / 6))
    seen = looked_at(BAR, (98, 50), to, BAR)
    assert seen.label == "rotation"
    assert seen.anchor == pytest.approx((20, 50), abs=1)


def test_the_far_end_of_a_whole_thing_pulled_outward_carries_it() -> None:
    assert looked_at(BAR, (98, 50), (150, 50), BAR).label == "relocation"


def test_a_part_hangs_where_the_picture_goes_on_without_an_edge() -> None:
    right = Box(60, 44, 99, 55)
    mask = resolve(picture(BAR), Instruction((Operation(right, Translate((100, 50))),))).operations[0].mask
    assert joint_of(picture(BAR), mask) == pytest.approx((60, 49.5), abs=1)
    assert joint_of(picture(right), mask) is None


@pytest.mark.parametrize("to", [(120.0, 50.0), (78.0, 50.0)], ids=["pulled", "pushed"])
def test_a_part_pulled_or_pushed_along_its_axis_is_deformed(to: Point) -> None:
    assert looked_at(Box(60, 44, 99, 55), (98, 50), to, BAR).label == "deformation"


def test_a_part_going_round_its_joint_turns_about_it() -> None:
    seen = looked_at(Box(60, 44, 99, 55), (98, 50), (60, 86), BAR)
    assert seen.label == "rotation"
    assert seen.anchor == pytest.approx((60, 50), abs=2)


def test_a_mask_painted_around_a_thing_is_no_part() -> None:
    thing = Box(50, 40, 80, 70)
    assert looked_at(Box(40, 30, 90, 80), (65, 55), (100, 60), thing).label == "relocation"


def test_a_region_at_the_border_of_the_picture_and_one_in_pieces_are_looked_at_too() -> None:
    assert looked_at(Box(0, 0, 30, 30), (15, 15), (60, 60), Box(0, 0, 30, 30)).label == "relocation"
    mask = np.zeros((120, 160), np.bool_)
    mask[10:20, 10:20] = mask[60:62, 80:140] = mask[100, 100] = True
    for pixels in (picture(), picture(BAR)):
        operation = resolve(pixels, Instruction((Operation(MaskArray(mask), Translate((90, 80))),))).operations[0]
        assert hint(pixels, operation, (90, 80)).label in ("relocation", "deformation", "rotation")


@pytest.mark.parametrize(
    ("end", "way"),
    [((9, 0), "to the right"), ((9, 9), "to the lower right"), ((0, 9), "down"), ((-9, 9), "to the lower left"),
     ((-9, 0), "to the left"), ((-9, -9), "to the upper left"), ((0, -9), "up"), ((9, -9), "to the upper right")],
)  # fmt: skip
def test_ways_in_words(end: Point, way: str) -> None:
    assert direction((0, 0), end) == way


def propose(request: Any) -> Any:
    return load_provider("rules", ProviderOptions()).propose(request)


def test_the_rules_give_every_label_once_and_the_same_each_time(asked: Any) -> None:
    answer = propose(asked())
    assert [c.label for c in answer.proposal.candidates] == ["relocation", "deformation", "rotation"]
    assert [c.prompt for c in answer.proposal.candidates] == [
        "The object is now farther to the right.",
        "The part now reaches to the right.",
        "It is now turned 76 degrees clockwise.",  # about the foot, from (0, -10) to (40, -10)
    ]
    assert [c.anchor for c in answer.proposal.candidates] == [None, None, (20.0, 40.0)]
    assert answer.proposal.background_prompt == "a red square"
    assert propose(asked()).proposal == answer.proposal
    assert (answer.record.provider, answer.record.model, answer.record.attempts) == ("rules", None, 1)


def test_the_person_s_own_words_stand_in_every_candidate() -> None:
    instruction = Instruction((Operation(BAR, Translate((70, 90))),), "a bar", "the bar lies below")
    proposal = propose(make_request(from_pixels(picture(BAR)), instruction)).proposal
    assert {c.prompt for c in proposal.candidates} == {"the bar lies below"}


def test_where_nothing_is_open_there_is_one_candidate(asked: Any) -> None:
    for motion, label in ((Translate((60, 30), "deformation"), "deformation"), (Scale((20, 30), 2), "deformation")):
        candidates = propose(asked(motion)).proposal.candidates
        assert [c.label for c in candidates] == [label]


def test_the_largest_open_region_decides() -> None:
    small, pull = Box(120, 10, 126, 16), Translate((120, 50))
    pixels = picture(BAR, small)
    operations = (Operation(small, Translate((140, 30))), Operation(Box(60, 44, 99, 55), pull, (98, 50)))
    assert propose(make_request(from_pixels(pixels), Instruction(operations))).proposal.candidates[0].label == (
        "deformation"
    )


@pytest.mark.slow
def test_the_rules_name_most_drags_of_known_scenes() -> None:
    spec = importlib.util.spec_from_file_location(
        "intent_labels", Path(__file__).parents[2] / "benchmarks" / "intent_labels.py"
    )
    assert spec is not None
    assert spec.loader is not None
    labels = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = labels
    spec.loader.exec_module(labels)
    counts, wrong = labels.confusion(20, 90000, "grabbed")
    assert sum(counts.values()) == 60
    assert len(wrong) <= 9  # 85 percent
    assert labels.confusion(2, 90000, "grabbed") == labels.confusion(2, 90000, "grabbed")


def test_copies_and_removals_are_known_and_left_as_they_are() -> None:
    source, provider = from_pixels(picture(BAR)), load_provider("rules", ProviderOptions())
    for motion, change in ((Translate((90, 90), "copy"), "An object is copied."), (Remove(), "An object is removed.")):
        asked = Instruction(Operation(BAR, motion, cut="hard"))
        proposal = provider.propose(make_request(source, asked)).proposal
        assert (proposal.change, proposal.candidates[0].prompt) == (change, change)
        assert accept(proposal, asked, proposal.candidates[0]).operations == asked.operations
