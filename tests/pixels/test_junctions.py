"""Which of two things that touch is in front, by their outlines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dragflow.core.arrays import Mask
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels.junctions import is_behind
from dragflow.pixels.resolve import resolve

SIZE = (256, 256)


def disc(x: int, y: int, radius: int) -> Mask:
    return cv2.circle(np.zeros(SIZE, np.uint8), (x, y), radius, 1, -1) > 0


def post() -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[:, 130:150] = True
    return mask


@pytest.mark.parametrize("other", [post(), disc(150, 110, 40)], ids=["post", "disc"])
def test_the_one_whose_outline_goes_on_is_in_front(other: Mask) -> None:
    ball = disc(105, 130, 45)
    assert is_behind(ball & ~other, other)
    assert not is_behind(other, ball & ~other)
    assert not is_behind(ball, other & ~ball)


def test_what_does_not_touch_or_is_nothing_is_not_behind() -> None:
    assert not is_behind(disc(60, 130, 40), post())
    assert not is_behind(disc(60, 130, 1), disc(62, 130, 1))
    assert not is_behind(np.zeros(SIZE, np.bool_), post())


@pytest.mark.parametrize("hidden", [True, False])
def test_a_thing_that_is_partly_hidden_goes_on_behind_what_hides_it(hidden: bool) -> None:
    picture = np.random.default_rng(0).integers(150, 175, (*SIZE, 3)).astype(np.uint8)
    ball, front = disc(105, 130, 45), post()
    if hidden:
        ball &= ~front
    else:
        front &= ~ball
    picture[front] = (60, 40, 20)
    picture[ball] = (40, 90, 210)
    move = Operation(MaskArray(ball), Translate((115, 130), "relocation"), handle=(105, 130), cut="soft")
    task = resolve(picture, Instruction((move,)))
    found = task.operations[0].front
    if not hidden:
        assert found is None
        return
    assert found is not None
    near = np.zeros(SIZE, np.bool_)
    near[90:170] = True
    assert (found & front & near).sum() > 0.95 * (front & near).sum()
