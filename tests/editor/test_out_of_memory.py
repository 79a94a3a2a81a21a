"""An edit during which memory runs out is tried once more, with less."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from dragflow import Box, EditConfig, Editor, Instruction, Operation, Translate
from dragflow.core.errors import CapabilityError
from dragflow.core.events import Event, Stepped

CONFIG = EditConfig().with_(
    inversion={"steps": 3, "skip": 1}, optimise={"moving": 1, "refining": 0}, size={"window": "whole"}
)
MOVE = Instruction((Operation(Box(8, 8, 24, 24), Translate((40, 40))),))


class Full:
    """Runs out of memory in the first few drags."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == "drag" and self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_an_edit_is_tried_again_with_less_memory(dummy_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    editor = Editor.load(dummy_folder, device="cpu")
    session = editor.open(np.full((64, 64, 3), 90, np.uint8), config=CONFIG)
    plain = session.edit(MOVE, CONFIG).pixels
    with caplog.at_level(logging.WARNING, logger="dragflow"):
        again = session.edit(MOVE, CONFIG, Full(1)).pixels
    assert np.array_equal(again, plain)  # what is recomputed is the same, and the picture is smaller than a tile
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == "memory ran out: activations are recomputed and pictures are decoded in tiles from now on, once more"
    with pytest.raises(CapabilityError, match=r"memory ran out.*`quantize`.*size\.max_pixels"):
        session.edit(MOVE, CONFIG, Full(1))  # there is nothing left to be done
    assert np.array_equal(session.edit(MOVE, CONFIG).pixels, plain)


def test_memory_that_runs_out_twice_is_told_in_a_sentence(dummy_folder: Path) -> None:
    session = Editor.load(dummy_folder, device="cpu").open(np.full((64, 64, 3), 90, np.uint8), config=CONFIG)
    with pytest.raises(CapabilityError, match="memory ran out"):
        session.edit(MOVE, CONFIG, Full(2))
