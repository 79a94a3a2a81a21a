"""A drag that is drawn on the node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import tensors
from .plans import INSTRUCTION, Plan

if TYPE_CHECKING:
    from torch import Tensor

PICTURE = "dragflow_picture"
"""What the page is told when the node has run; not `images`, which ComfyUI would show below the canvas."""
DRAWN = "drawn"
"""Name of the widget that holds what was drawn, as JSON: an instruction file, and the canvas's own state."""


class DragCanvas:
    """Draw regions on the picture and drag them; the widget is the studio's canvas."""

    CATEGORY = "dragflow"
    FUNCTION = "give"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = (
        "Mark what is to move and drag it, on the node. The picture of a Load Image node is there at once, that of "
        "another node when it has run."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "image": ("IMAGE",),
                DRAWN: ("STRING", {"default": "", "multiline": True, "dynamicPrompts": False}),
            },
            "optional": {"instruction": (INSTRUCTION, {"tooltip": "Operations that happen together with these."})},
        }

    def give(self, image: Tensor, drawn: str, instruction: Plan | None = None) -> dict[str, Any]:
        shown = {PICTURE: [_shown(image)]}
        plan = _drawn(drawn)
        if plan is None:
            from comfy_execution.graph import ExecutionBlocker

            return {"ui": shown, "result": (ExecutionBlocker("Nothing is dragged yet: drag a region on Drag Canvas."),)}
        return {"ui": shown, "result": (plan if instruction is None else plan.beside(instruction),)}


def _drawn(text: str) -> Plan | None:
    """The plan in the widget's text; None while nothing is dragged.

    Raises:
        UserError: text that no canvas wrote.
    """
    from dragflow import UserError
    from dragflow.files.instructions import embedded_instruction

    if not text.strip():
        return None
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise UserError("`drawn` is not JSON: let the canvas write it, or clear it") from error
    if isinstance(asked, dict):
        asked = asked.get("instruction", asked)
    if isinstance(asked, dict) and not asked.get("operations"):
        return None
    return Plan.of(embedded_instruction(asked, "`drawn`"))


def _shown(image: Tensor) -> dict[str, str]:
    """The first picture, as a file that the widget fetches."""
    from pathlib import Path

    import folder_paths
    from PIL import Image

    picture = tensors.pictures(image)[0]
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        "dragflow_canvas", folder_paths.get_temp_directory(), picture.shape[1], picture.shape[0]
    )
    file = f"{name}_{counter:05}_.png"
    Image.fromarray(picture).save(Path(folder) / file, compress_level=1)
    return {"filename": file, "subfolder": subfolder, "type": "temp"}
