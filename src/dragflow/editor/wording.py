"""The prompts of an edit in the form that its model was trained on: what is seen, or an instruction of what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dragflow.core.config import EditConfig
from dragflow.core.motion import Rotate, Scale
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.method.backbone import BackboneSpec


def worded(task: DragTask, config: EditConfig, spec: BackboneSpec) -> DragTask:
    """The task with an edit prompt, if its model needs an instruction and none is given."""
    if not _is_instructed(config, spec) or task.instruction.edit_prompt:
        return task
    return replace(task, instruction=replace(task.instruction, edit_prompt=blending(task.operations)))


def target_prompt(task: DragTask, config: EditConfig, spec: BackboneSpec) -> str:
    """What the model is told of the edited picture."""
    return task.instruction.edit_prompt if _is_instructed(config, spec) else task.target_prompt


def _is_instructed(config: EditConfig, spec: BackboneSpec) -> bool:
    """Whether prompts are instructions; an edit model that looks at nothing draws from captions, as others do."""
    return spec.prompts == "instructions" and bool(config.references)


def blending(operations: Sequence[ResolvedOperation]) -> str:
    """An instruction to make true what the pixel preview shows; the model sees that, so no places are named."""
    things = list(dict.fromkeys(map(_thing, operations)))
    named = " and ".join(f"the {thing}" for thing in things)
    hole = ", and complete the background where it was" if any(op.is_cut for op in operations) else ""
    return (
        f"Blend {named} into the picture: true shadow, light and background at the edges{hole}. "
        "Keep the position, size and shape of everything, and leave the rest of the picture unchanged."
    )


def _thing(operation: ResolvedOperation) -> str:
    if operation.is_deformation:
        return "reshaped part"
    if isinstance(operation.motion, Rotate):
        return "turned object"
    return "resized object" if isinstance(operation.motion, Scale) else "moved object"
