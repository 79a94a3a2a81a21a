"""What an edit model is told where nobody says it: to make true what the pixel preview shows."""

from __future__ import annotations

from collections.abc import Sequence

from dragflow.core.motion import Rotate, Scale
from dragflow.core.task import ResolvedOperation


def blending(operations: Sequence[ResolvedOperation]) -> str:
    """An instruction to make true what the pixel preview shows; the model sees that, so no places are named."""
    things = list(dict.fromkeys(_thing(op) for op in operations if op.lands))
    named = " and ".join(f"the {thing}" for thing in things)
    if not things:
        return (
            "Complete the background where the object was, with true texture and light and without its shadow. Leave "
            "the rest of the picture unchanged."
        )
    hole = ", and complete the background where it was" if any(op.leaves for op in operations) else ""
    return (
        f"Blend {named} into the picture: true shadow, light and background at the edges{hole}. "
        "Keep the position, size and shape of everything, and leave the rest of the picture unchanged."
    )


def _thing(operation: ResolvedOperation) -> str:
    if operation.is_deformation:
        return "reshaped part"
    if operation.stays:
        return "copied object"
    if isinstance(operation.motion, Rotate):
        return "turned object"
    return "resized object" if isinstance(operation.motion, Scale) else "moved object"
