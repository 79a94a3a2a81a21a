"""The prompts of an edit in the form that its model was trained on: what is seen, or an instruction of what to do."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.usual import prompt_form
from dragflow.core.blending import blending
from dragflow.core.config import EditConfig
from dragflow.core.task import DragTask
from dragflow.method.backbone import BackboneSpec


def worded(task: DragTask, config: EditConfig, spec: BackboneSpec) -> DragTask:
    """The task with an edit prompt, if its model needs an instruction and none is given."""
    if prompt_form(config, spec.prompts) == "captions" or task.instruction.edit_prompt:
        return task
    return replace(task, instruction=replace(task.instruction, edit_prompt=blending(task.operations)))


def target_prompt(task: DragTask, config: EditConfig, spec: BackboneSpec) -> str:
    """What the model is told of the edited picture."""
    instructed = prompt_form(config, spec.prompts) == "instructions"
    return task.instruction.edit_prompt if instructed else task.target_prompt
