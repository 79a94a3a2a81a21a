"""A chosen guess becomes an instruction; the request that it was for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dragflow.core.errors import UserError
from dragflow.core.motion import Motion, Rotate, Scale, Translate, rotation_degrees
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.intent.accept import accept
from dragflow.intent.base import Candidate, IntentProposal, TaskLabel
from dragflow.intent.request import known_labels, make_request, shrunk
from dragflow.pixels.drawing import marks

BOX = Box(10, 20, 30, 40)


def accepted(candidate: Candidate, *motions: Motion, labels: tuple[TaskLabel | None, ...] = (None,)) -> Instruction:
    instruction = Instruction(tuple(Operation(BOX, motion) for motion in motions), "old", "old edit", BOX, "extend")
    return accept(IntentProposal("a red square", "it moves", (candidate,), labels), instruction, candidate)


@pytest.mark.parametrize("label", ["relocation", "deformation"])
def test_a_translation_gets_the_label_and_the_prompts(label: Any) -> None:
    made = accepted(Candidate(label, "a square at the right"), Translate((60, 30)))
    assert made.operations == (Operation(BOX, Translate((60, 30), label)),)
    assert (made.prompt, made.edit_prompt) == ("a red square", "a square at the right")
    assert made.target_prompt == "a red square a square at the right"
    assert (made.editable, made.editable_mode) == (BOX, "extend")


def test_a_rotation_turns_by_the_signed_angle_between_handle_and_target() -> None:
    made = accepted(Candidate("rotation", "on its side", (20.0, 60.0)), Translate((50, 60)))
    motion = made.operations[0].motion
    assert motion == Rotate((20, 60), to=(50, 60))
    assert isinstance(motion, Rotate)
    assert rotation_degrees(motion, (20, 30)) == pytest.approx(90)  # from straight up to the right: clockwise as seen


def test_what_was_known_stays() -> None:
    motions = (Rotate((5, 5), degrees=20), Scale((5, 5), 2), Translate((60, 30), "deformation"), Translate((60, 30)))
    made = accepted(Candidate("relocation", "x"), *motions, labels=("rotation", None, "deformation", None))
    assert tuple(op.motion for op in made.operations) == (*motions[:3], Translate((60, 30), "relocation"))


def test_a_rotation_without_an_anchor_and_another_instruction_are_refused() -> None:
    with pytest.raises(UserError, match="without an anchor"):
        accepted(Candidate("rotation", "x"), Translate((60, 30)))
    with pytest.raises(UserError, match="for 2 operations and the instruction has 1"):
        accepted(Candidate("relocation", "x"), Translate((60, 30)), labels=(None, None))


def test_a_translation_without_a_label_is_open() -> None:
    moves = (Translate((1, 2)), Translate((1, 2), "relocation"), Translate((1, 2), "deformation"))
    instruction = Instruction(
        [Operation(BOX, motion) for motion in (*moves, Rotate((1, 2), degrees=3), Scale((1, 2), 3))]
    )
    assert known_labels(instruction) == (None, "relocation", "deformation", "rotation", None)


def test_the_pictures_are_scaled_down_and_never_up(asked: Any) -> None:
    request = asked(max_side=64)
    assert request.picture.shape == request.overlay.shape == (51, 64, 3)
    assert request.source.size == (81, 101)
    assert np.array_equal(shrunk(request.source.pixels, 2000), request.source.pixels)
    assert np.array_equal(asked().overlay, marks(request.task))


@pytest.mark.parametrize(
    "options", [{"count": 0}, {"count": 21}, {"max_side": 63}, {"max_side": 10_000}, {"labels": ("rotation",) * 2}]
)
def test_numbers_out_of_range_are_refused(options: Any, asked: Any) -> None:
    with pytest.raises(UserError):
        asked(**options)


def test_labels_that_the_caller_knows_go_first(asked: Any) -> None:
    assert [op.handle for op in asked().open] == [(20, 30)]
    known = asked(labels=("relocation",))
    assert known.open == ()
    assert known.labels == ("relocation",)
    request = make_request(from_pixels(known.source), replace(known.instruction, prompt="b"), labels=(None,))
    assert len(request.open) == 1
