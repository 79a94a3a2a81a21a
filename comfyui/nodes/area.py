"""Where a picture may change, and where it never does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from . import tensors
from .plans import INSTRUCTION, MaskRegion, Plan

if TYPE_CHECKING:
    from torch import Tensor


class EditableArea:
    """Say where the picture may change, may change as well, or may not."""

    CATEGORY = "dragflow"
    FUNCTION = "say"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = "Where the picture may change: what is masked, instead of what the operations need, as well, or not."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "instruction": (INSTRUCTION,),
                "mask": ("MASK",),
                "mode": (["replace", "extend", "subtract"],),
            }
        }

    def say(self, instruction: Plan, mask: Tensor, mode: Literal["replace", "extend", "subtract"]) -> tuple[Plan]:
        area = MaskRegion(tuple(tensors.masks(mask, 0.5)), False)
        return (replace(instruction, editable=area, editable_mode=mode),)


class ProtectedArea:
    """Say what never changes."""

    CATEGORY = "dragflow"
    FUNCTION = "say"
    RETURN_TYPES = (INSTRUCTION,)
    RETURN_NAMES = ("instruction",)
    DESCRIPTION = "What is masked never changes, whatever the operations and the editable area are."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"instruction": (INSTRUCTION,), "mask": ("MASK",)}}

    def say(self, instruction: Plan, mask: Tensor) -> tuple[Plan]:
        return (replace(instruction, protect=MaskRegion(tuple(tensors.masks(mask, 0.5)), False)),)
