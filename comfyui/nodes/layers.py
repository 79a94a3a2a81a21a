"""A drag taken apart: the area, what moves, and the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import tensors
from .plans import INSTRUCTION, Plan, places

if TYPE_CHECKING:
    from torch import Tensor


class Layers:
    """Give what a drag is drawn from, for nodes that put pictures together."""

    CATEGORY = "dragflow"
    FUNCTION = "take"
    RETURN_TYPES = ("MASK", "IMAGE", "IMAGE", "IMAGE", "MASK")
    RETURN_NAMES = ("area", "ghost", "plate", "object", "object_mask")
    OUTPUT_TOOLTIPS = (
        "1 where the picture may change.",
        "RGBA: what moves, where it goes, with its shadow.",
        "The picture without it.",
        "RGBA: what moves, where it is.",
        "1 where the object is. For Join Image with Alpha invert it: that takes 1 for transparent.",
    )
    DESCRIPTION = "Where the picture may change, and its layers, made without a model."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"image": ("IMAGE",), "instruction": (INSTRUCTION,)}}

    def take(self, image: Tensor, instruction: Plan) -> tuple[Tensor, ...]:
        from dragflow.service import taken_apart

        parts = [
            taken_apart(picture, instruction.instruction(place)) for picture, place in places(tensors.pictures(image))
        ]
        return (
            tensors.mask([part.area for part in parts]),
            tensors.image([part.ghost for part in parts]),
            tensors.image([part.plate for part in parts]),
            tensors.image([part.objects for part in parts]),
            tensors.mask([part.objects[..., 3] / 255 for part in parts]),
        )
