"""The picture as it would look, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import tensors
from .plans import INSTRUCTION, Plan, places

if TYPE_CHECKING:
    from torch import Tensor


class Preview:
    """Draw an instruction without a model."""

    CATEGORY = "dragflow"
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE",)
    DESCRIPTION = "How the picture would look, drawn without a model: what an edit begins with."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"image": ("IMAGE",), "instruction": (INSTRUCTION,)}}

    def draw(self, image: Tensor, instruction: Plan) -> tuple[Tensor]:
        import numpy as np

        from dragflow import preview

        drawn = [
            np.asarray(preview(picture, instruction.instruction(place)))
            for picture, place in places(tensors.pictures(image))
        ]
        return (tensors.image(drawn),)
