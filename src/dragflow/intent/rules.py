"""The provider `rules`: labels by geometry and prompts by template, without a model."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from dragflow.core.arrays import Point
from dragflow.core.blending import blending
from dragflow.core.motion import Rotate, Translate, rotation_degrees
from dragflow.core.result import IntentRecord
from dragflow.core.task import ResolvedOperation
from dragflow.intent.accept import labelled
from dragflow.intent.base import LABELS, Answer, Candidate, IntentProposal, IntentRequest, TaskLabel
from dragflow.intent.hints import Hint, hint
from dragflow.intent.options import ProviderOptions
from dragflow.pixels.resolve import resolve

_CHANGES: dict[TaskLabel, str] = {
    "relocation": "An object is moved",
    "deformation": "A part is pulled or pushed",
    "rotation": "Something is turned",
}


class Rules:
    """Guesses from the arrow and from where the region has an edge; does not describe what it cannot see."""

    name = "rules"
    model = None
    remote = False

    def propose(self, request: IntentRequest) -> Answer:
        """One candidate for each label, the likeliest first; the prompts are the person's own where there are any."""
        began = time.perf_counter()
        candidates = _candidates(request)[: request.count]
        if request.prompts == "instructions" and not request.instruction.edit_prompt:
            candidates = tuple(replace(each, prompt=_instruction(request, each)) for each in candidates)
        proposal = IntentProposal(
            background_prompt=request.instruction.prompt,
            change=_change(request, candidates[0].label),
            candidates=candidates,
            labels=request.labels,
        )
        return Answer(proposal, IntentRecord(self.name, None, time.perf_counter() - began, attempts=1))


def load(options: ProviderOptions) -> Rules:
    """The provider; it needs no option."""
    del options
    return Rules()


def _candidates(request: IntentRequest) -> tuple[Candidate, ...]:
    """A candidate labels all open operations alike, so the largest of them is looked at."""
    if not request.open:  # a scaling and a removal have none of the three labels; then the label says nothing
        known: list[TaskLabel] = [label for label in request.labels if label is not None] or ["deformation"]
        return (Candidate(known[0], request.instruction.edit_prompt or _change(request, known[0])),)
    largest = max(request.open, key=lambda operation: int(operation.mask.sum()))
    to = largest.motion.to if isinstance(largest.motion, Translate) else largest.handle
    clue = hint(request.source.pixels, largest, to)
    order: tuple[TaskLabel, ...] = (clue.label, *(label for label in LABELS if label != clue.label))
    return tuple(_candidate(label, clue, largest, to, request.instruction.edit_prompt) for label in order)


def _change(request: IntentRequest, label: TaskLabel) -> str:
    """What changes: by the label, where that says something of the operations."""
    if all(not op.lands for op in request.task.operations):
        return "An object is removed."
    if all(op.stays for op in request.task.operations):
        return "An object is copied."
    return f"{_CHANGES[label]}."


def _instruction(request: IntentRequest, candidate: Candidate) -> str:
    """What an edit model is told of the instruction that a candidate makes."""
    meant = labelled(request.instruction, request.labels, candidate)
    return blending(resolve(request.source.pixels, meant).operations)


def _candidate(label: TaskLabel, clue: Hint, operation: ResolvedOperation, to: Point, given: str) -> Candidate:
    anchor = clue.anchor if label == "rotation" else None
    return Candidate(label, given or _prompt(label, operation.handle, to, clue.anchor), anchor)


def _prompt(label: TaskLabel, handle: Point, to: Point, anchor: Point) -> str:
    way = direction(handle, to)
    if label == "relocation":
        return f"The object is now farther {way}."
    if label == "deformation":
        return f"The part now reaches {way}."
    degrees = rotation_degrees(Rotate(anchor, to=to), handle)
    return f"It is now turned {abs(degrees):.0f} degrees {'clockwise' if degrees > 0 else 'counterclockwise'}."


def direction(start: Point, end: Point) -> str:
    """The direction from one point to another in English, by eighths of a circle."""
    ways = ("to the right", "to the lower right", "down", "to the lower left", "to the left", "to the upper left", "up")
    eighth = round(math.atan2(end[1] - start[1], end[0] - start[0]) / (math.pi / 4)) % 8
    return (*ways, "to the upper right")[eighth]
