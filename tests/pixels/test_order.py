"""What a region passes behind: told, found, settled, drawn."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.errors import UserError
from dragflow.core.motion import Translate
from dragflow.core.task import Box, DragTask, Instruction, MaskArray, Operation
from dragflow.pixels import masks
from dragflow.pixels.order import standing_at
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

H, W = 120, 200
POST = (slice(0, H), slice(120, 132))
BALL = Box(30, 45, 59, 74)
"""A square ball, 30 by 30, whose centre goes to the post."""
TO = (126.5, 59.5)


def scene() -> Pixels:
    """A ball and a dark post before a noisy wall."""
    picture = np.random.default_rng(0).integers(150, 175, (H, W, 3)).astype(np.uint8)
    picture[POST] = (60, 40, 20)
    picture[45:75, 30:60] = (40, 90, 210)
    return picture


def post() -> Mask:
    mask = np.zeros((H, W), np.bool_)
    mask[POST] = True
    return mask


def task(behind: MaskArray | bool | None, to: tuple[float, float] = TO) -> DragTask:
    move = Operation(BALL, Translate(to, "relocation"), cut="soft", behind=behind)
    return resolve(scene(), Instruction((move,)))


def test_a_thing_is_told_from_its_background() -> None:
    target = np.zeros((H, W), np.bool_)
    target[45:75, 111:141] = True
    found = standing_at(scene(), target, masks.rasterise(BALL, (H, W)))
    assert found is not None
    assert (found & post() & target).sum() >= 0.95 * (post() & target).sum()
    assert (found & ~post()).sum() <= 0.05 * found.sum()


def test_what_leaves_its_place_does_not_stand_there() -> None:
    target = np.zeros((H, W), np.bool_)
    target[50:80, 50:80] = True
    assert standing_at(scene(), target, masks.rasterise(BALL, (H, W))) is None


@pytest.mark.parametrize("behind", [True, MaskArray(post())])
def test_what_is_in_front_stays_as_it_is(behind: MaskArray | bool) -> None:
    asked = task(behind)
    drawn, source = draw_preview(asked), scene()
    inner = (slice(0, H), slice(122, 130))
    assert (drawn[inner] == source[inner]).all()
    beside = (slice(50, 70), slice(113, 118))
    assert np.abs(drawn[beside].astype(int) - (40, 90, 210)).max() <= 2
    covered = draw_preview(task(False))
    assert np.abs(covered[50:70, 122:130].astype(int) - (40, 90, 210)).max() <= 2


def test_what_is_in_front_is_settled() -> None:
    asked = task(True)
    (settled,) = asked.instruction.operations
    assert isinstance(settled.behind, MaskArray)
    again = resolve(scene(), asked.instruction)
    assert again.operations[0].front is not None
    assert (again.operations[0].front == asked.operations[0].front).all()
    assert task(False).instruction.operations[0].behind is False
    assert task(MaskArray(post()), (50.0, 90.0)).instruction.operations[0].behind is False, "it does not get there"


def test_what_is_in_front_may_not_change() -> None:
    asked = task(MaskArray(post()))
    assert not asked.area[50:70, 123:129].any()
    assert asked.area[50:70, 113:119].all()


def test_what_is_hidden_is_not_supervised() -> None:
    shown = masks.shown(task(MaskArray(post())).operations[0])
    # The ball goes 82 to the right: its columns 38 to 49 end behind the post.
    assert not shown[50:70, 38:50].any()
    assert shown[50:70, 30:38].all()
    assert shown[50:70, 50:60].all()


def test_nothing_to_be_behind_is_said() -> None:
    with pytest.raises(UserError, match=r"operation 0: nothing that could stay in front.*by a region"):
        task(True, (80.0, 90.0))


def test_a_region_cannot_vanish() -> None:
    wide = np.zeros((H, W), np.bool_)
    wide[:, 100:160] = True
    with pytest.raises(UserError, match="operation 0: all of the region would be hidden"):
        task(MaskArray(wide))


def test_a_part_all_around_is_behind_nothing() -> None:
    move = Operation(BALL, Translate((60.0, 59.5), "deformation"), behind=MaskArray(post()))
    with pytest.raises(UserError, match="operation 0 stretches what it is a part of"):
        resolve(np.full((H, W, 3), 90, np.uint8), Instruction((move,)))
