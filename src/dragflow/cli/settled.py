"""What is told of what was settled (labels, snapped regions, order, an instruction), and how to choose otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragflow.cli.terminal import emit, say
from dragflow.core.motion import Label
from dragflow.core.task import Instruction, MaskArray
from dragflow.pixels import masks

_MEANING: dict[Label, str] = {  # of a guess, which is never a copy
    "relocation": "taken for a whole object, which leaves its place; if it is a part of something: --label deformation",
    "deformation": "taken for a part, which stretches what it belongs to; if it is a whole object: --label relocation",
}


@dataclass(frozen=True)
class Guess:
    """The guessed label of one operation."""

    operation: int
    label: Label

    @property
    def text(self) -> str:
        """For people."""
        return f"operation {self.operation} is {_MEANING[self.label]}"


@dataclass(frozen=True)
class Snap:
    """The pixels that the region of one operation got and lost."""

    operation: int
    added: int
    removed: int

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"operation {self.operation} is snapped to the object's edge: {self.added} px added, {self.removed} "
            "removed; to keep the region as painted: --cut soft"
        )


@dataclass(frozen=True)
class Front:
    """What was found to stay in front of the region of one operation, in pixels of the picture."""

    operation: int
    pixels: int

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"operation {self.operation} passes behind what is there ({self.pixels} px stay in front); to be in front: "
            "--behind nothing, to say what it is behind: --behind MASK"
        )


def guesses(asked: Instruction, settled: Instruction) -> list[Guess]:
    """The labels of an instruction that the one that was asked for does not give."""
    pairs = zip(asked.operations, settled.operations, strict=True)
    return [
        Guess(i, given.motion.label)
        for i, (one, given) in enumerate(pairs)
        if one.motion.label is None and given.motion.label is not None
    ]


def snaps(asked: Instruction, settled: Instruction) -> list[Snap]:
    """The regions of an instruction that are not those that were painted."""
    found: list[Snap] = []
    for i, (one, given) in enumerate(zip(asked.operations, settled.operations, strict=True)):
        if isinstance(given.region, MaskArray):
            after = np.asarray(given.region.array) > 0
            before = masks.rasterise(one.region, (after.shape[0], after.shape[1]))
            found.append(Snap(i, int((after & ~before).sum()), int((before & ~after).sum())))
    return [snap for snap in found if snap.added or snap.removed]


def fronts(asked: Instruction, settled: Instruction) -> list[Front]:
    """What was found, and not given, to stay in front of the regions of an instruction."""
    pairs = zip(asked.operations, settled.operations, strict=True)
    return [
        Front(i, int((np.asarray(given.front.array) > 0).sum()))
        for i, (one, given) in enumerate(pairs)
        if one.behind in (None, True) and isinstance(given.front, MaskArray)
    ]


def tell(asked: Instruction, settled: Instruction, *, as_json: bool = False) -> None:
    """Say what was settled: a line for each guess, or an event."""
    for snap in snaps(asked, settled):
        if as_json:
            emit({"event": "snapped", "operation": snap.operation, "added": snap.added, "removed": snap.removed})
        else:
            say(snap.text)
    for front in fronts(asked, settled):
        if as_json:
            emit({"event": "ordered", "operation": front.operation, "pixels": front.pixels})
        else:
            say(front.text)
    for guess in guesses(asked, settled):
        if as_json:
            emit({"event": "labelled", "operation": guess.operation, "label": guess.label})
        else:
            say(guess.text)
    if settled.edit_prompt != asked.edit_prompt:
        if as_json:
            emit({"event": "worded", "edit_prompt": settled.edit_prompt})
        else:
            say(f"the model was told: {settled.edit_prompt} To say something else: --edit-prompt TEXT")
