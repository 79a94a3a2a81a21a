"""Where a picture may change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from . import tensors
from .plans import INSTRUCTION, MaskRegion, Plan

if TYPE_CHECKING:
    from torch import Tensor


class EditableArea:
    """Say where the picture may change, or may change as well."""

    CATEGORY = "dragflow"
    FUNCTION = "say"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = "Where the picture may change: what is masked, instead of what the operations need or as well."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "instruction": (INSTRUCTION,),
                "mask": ("MASK",),
                "mode": (["replace", "extend"],),
            }
        }

    def say(self, instruction: Plan, mask: Tensor, mode: Literal["replace", "extend"]) -> tuple[Plan]:
        area = MaskRegion(tuple(tensors.masks(mask, 0.5)), False)
        return (replace(instruction, editable=area, editable_mode=mode),)
