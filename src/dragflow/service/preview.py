"""The pixel preview of an instruction in one call, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dragflow.core.checked import check
from dragflow.core.fields import Margin
from dragflow.core.task import Instruction, Operation
from dragflow.files.instructions import given_instruction
from dragflow.files.pictures import as_source
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

if TYPE_CHECKING:
    from dragflow.files.pictures import Picture


def preview(
    image: Picture, instruction: Instruction | Operation | Sequence[Operation] | str | Path, *, margin: int = 0
) -> Image.Image:
    """The picture as it would look: regions moved, what they leave filled from its surroundings.

    Args:
        image: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
        instruction: an instruction, one operation or several, or the path of an instruction file or ReD Bench folder.
        margin: pixels by which the derived editable area is grown, as `area.margin` of a configuration.

    Raises:
        UserError: a picture or an instruction that breaks a rule.
    """
    asked, margin = given_instruction(instruction), check(Margin, margin, "margin")
    return Image.fromarray(draw_preview(resolve(as_source(image).pixels, asked, margin=margin), texture=True))
