"""The preview in one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import dragflow
from dragflow import Box, Instruction, Operation, Translate
from dragflow.files.instructions import save_instruction


def test_it_moves_the_region_and_changes_nothing_outside_the_area(tmp_path: Path) -> None:
    pixels = np.full((60, 80, 3), 200, dtype=np.uint8)
    pixels[20:30, 10:20] = (255, 0, 0)
    operation = Operation(Box(10, 20, 19, 29), Translate((54.5, 24.5)))
    drawn = dragflow.preview(pixels, operation)
    assert isinstance(drawn, Image.Image)
    seen = np.asarray(drawn)
    assert (seen[22:28, 52:58] == (255, 0, 0)).all()
    assert (seen[22:28, 12:18] == 200).all()
    assert (seen[:15] == 200).all()
    save_instruction(tmp_path / "t.json", Instruction(operation))
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert np.array_equal(np.asarray(dragflow.preview(tmp_path / "p.png", tmp_path / "t.json")), seen)
