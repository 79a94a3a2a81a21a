"""The pixel preview of an instruction in one call, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dragflow.core.task import Instruction, Operation
from dragflow.files.instructions import load_instruction
from dragflow.files.masks import freeze
from dragflow.files.pictures import as_source
from dragflow.pixels.preview import ghost
from dragflow.pixels.resolve import resolve

if TYPE_CHECKING:
    from dragflow.files.pictures import Picture


def preview(image: Picture, instruction: Instruction | Operation | str | Path, *, margin: int = 0) -> Image.Image:
    """The picture as it would look: regions moved, what they leave filled from its surroundings.

    Args:
        image: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
        instruction: an instruction, one operation, or the path of an instruction file or ReD Bench folder.
        margin: pixels by which the derived editable area is grown, as `area.margin` of a configuration.

    Raises:
        UserError: a picture or an instruction that breaks a rule.
    """
    if isinstance(instruction, Operation):
        instruction = Instruction(instruction)
    asked = load_instruction(instruction) if isinstance(instruction, str | Path) else freeze(instruction)
    return Image.fromarray(ghost(resolve(as_source(image).pixels, asked, margin=margin)))
