"""What pages and node graphs ask without a model: ghosts, selections, a drag taken apart."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow import Box, Instruction, Operation, Scale, Translate, UserError, preview
from dragflow.files.pictures import as_source
from dragflow.service import Canvas, taken_apart
from dragflow.world import drag_case


def over(plate: np.ndarray, layer: np.ndarray) -> np.ndarray:
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.rint(plate * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def test_the_ghost_over_the_plate_is_the_preview() -> None:
    case = drag_case(309, "translate", 256, "test")
    operation = Operation(case.mask, Translate((100, 100), label="relocation"))
    apart = taken_apart(case.source, operation)
    drawn = np.asarray(preview(case.source, operation)).astype(int)
    assert np.abs(over(apart.plate, apart.ghost).astype(int) - drawn).max() <= 3
    assert (apart.plate == case.source)[~apart.area].all()
    assert not apart.ghost[~apart.area][:, 3].any()


def test_objects_are_opaque_where_they_were() -> None:
    case = drag_case(309, "translate", 256, "test")
    objects = taken_apart(
        case.source, Operation(case.mask, Translate((100, 100), label="relocation"), cut="hard")
    ).objects
    shown = objects[..., 3] > 127
    assert (shown & case.mask).sum() > 0.98 * (shown | case.mask).sum()
    assert (objects[..., :3][objects[..., 3] == 255] == case.source[objects[..., 3] == 255]).all()


def test_a_part_that_stays_attached_is_in_the_plate() -> None:
    picture = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 96, 3))
    part = Operation(Box(30, 30, 60, 60), Scale((45, 45), 1.4, label="deformation"))
    apart = taken_apart(picture, part)
    assert not apart.ghost[..., 3].any()
    assert (apart.plate != picture).any()


def test_a_point_outside_of_the_picture_is_refused() -> None:
    with pytest.raises(UserError, match=r"outside of the picture \(64 x 64\)"):
        Canvas().select(as_source(np.zeros((64, 64, 3), np.uint8)), [(64, 3)])


def test_a_ghost_says_what_was_settled() -> None:
    case = drag_case(309, "translate", 128, "test")
    asked = Instruction(Operation(case.mask, Translate((60, 60))))
    for coarse in (True, False):
        ghost = Canvas().ghost(as_source(case.source), asked, coarse=coarse)
        assert ghost["instruction"]["operations"][0]["motion"]["label"] == "relocation"
        assert ghost["regions"][0]["cutout"]["png"]
