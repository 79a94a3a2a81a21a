"""The second confirmation: a chosen guess becomes the instruction (paper Sec. 3.2, App. D.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dragflow.core.errors import UserError
from dragflow.core.motion import Motion, Rotate, Translate
from dragflow.core.task import Instruction, Operation
from dragflow.intent.base import Candidate, IntentProposal, TaskLabel, is_open


def accept(proposal: IntentProposal, instruction: Instruction, candidate: Candidate) -> Instruction:
    """The instruction that a person meant, by the candidate that they chose.

    Its source prompt is the background prompt, its target prompt that and the editing prompt. Every open translation
    gets the candidate's label; as a rotation it turns about the anchor until its handle points at its target.

    Raises:
        UserError: labels for another number of operations, or a rotation without an anchor.
    """
    if len(proposal.labels) != len(instruction.operations):
        raise UserError(
            f"the proposal is for {len(proposal.labels)} operations and the instruction has "
            f"{len(instruction.operations)}: propose for this instruction"
        )
    meant = labelled(instruction, proposal.labels, candidate)
    return replace(meant, prompt=proposal.background_prompt, edit_prompt=candidate.prompt)


def labelled(instruction: Instruction, labels: Sequence[TaskLabel | None], candidate: Candidate) -> Instruction:
    """The instruction with a candidate's label at every open translation; `labels` as in `IntentProposal`."""
    pairs = zip(instruction.operations, labels, strict=True)
    return replace(instruction, operations=tuple(_accepted(each, label, candidate) for each, label in pairs))


def _accepted(operation: Operation, label: TaskLabel | None, candidate: Candidate) -> Operation:
    if isinstance(operation.motion, Translate) and is_open(operation.motion, label):
        return replace(operation, motion=_motion(operation.motion, candidate))
    return operation


def _motion(motion: Translate, candidate: Candidate) -> Motion:
    if candidate.label != "rotation":
        return replace(motion, label=candidate.label)
    if candidate.anchor is None:
        raise UserError("the candidate is a rotation without an anchor: give it the point that the region turns about")
    return Rotate(candidate.anchor, to=motion.to)
