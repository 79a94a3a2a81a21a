"""What is protected never changes, and an area is replaced, added to or taken from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dragflow.core.errors import UserError
from dragflow.core.motion import Remove, Translate
from dragflow.core.task import Box, DragTask, Instruction, Operation, Region
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
REGION, TARGET = Box(10, 20, 25, 35), Box(50, 20, 65, 35)
MOVE = Operation(REGION, Translate((57.5, 27.5), "relocation"), cut="hard")


def asked(operation: Operation = MOVE, **more: Any) -> DragTask:
    return resolve(IMAGE, Instruction(operation, **more))


def inside(box: Box) -> Any:
    return np.s_[int(box.top) : int(box.bottom) + 1, int(box.left) : int(box.right) + 1]


@pytest.mark.parametrize("mode", ["replace", "extend", "subtract"])
def test_what_is_protected_wins_over_every_area(mode: Any) -> None:
    kept = Box(55, 25, 75, 55)
    task = asked(
        protect=kept, editable=Box(0, 40, 79, 59) if mode == "subtract" else Box(5, 15, 70, 59), editable_mode=mode
    )
    assert not task.area[inside(kept)].any()
    drawn = draw_preview(task)
    assert np.array_equal(drawn[inside(kept)], IMAGE[inside(kept)])
    assert not np.array_equal(drawn[inside(TARGET)], IMAGE[inside(TARGET)])
    assert np.array_equal(resolve(IMAGE, task.instruction).area, task.area)


def test_an_area_is_taken_from_the_derived_one() -> None:
    less = asked(editable=Box(30, 0, 45, 59), editable_mode="subtract").area
    whole = asked().area
    assert whole[27, 35]
    assert not less[:, 30:46].any()
    assert np.array_equal(less[:, :30], whole[:, :30])


@pytest.mark.parametrize(
    ("operation", "protect", "said"),
    [
        (MOVE, TARGET, "what is protected covers the target of operation 0"),
        (MOVE, REGION, "all of the region of operation 0 is protected, so it cannot leave"),
        (Operation(REGION, Remove(), cut="hard"), Box(0, 0, 79, 59), "covers the region of operation 0"),
    ],
)
def test_what_could_not_show_or_leave_is_refused(operation: Operation, protect: Region, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked(operation, protect=protect)


def test_what_is_protected_can_be_copied() -> None:
    task = asked(Operation(REGION, Translate((57.5, 27.5), "copy"), cut="hard"), protect=REGION)
    assert np.array_equal(draw_preview(task)[22:34, 52:64], IMAGE[22:34, 12:24])
