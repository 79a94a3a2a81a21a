"""What is told of labels that were guessed: every command that guesses says so, and how to choose the other."""

from __future__ import annotations

from dataclasses import dataclass

from dragflow.cli.terminal import emit, say
from dragflow.core.motion import Label
from dragflow.core.task import Instruction

_MEANING: dict[Label, str] = {
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


def guesses(asked: Instruction, settled: Instruction) -> list[Guess]:
    """The labels of an instruction that the one that was asked for does not give."""
    pairs = zip(asked.operations, settled.operations, strict=True)
    return [
        Guess(i, given.motion.label)
        for i, (one, given) in enumerate(pairs)
        if one.motion.label is None and given.motion.label is not None
    ]


def tell(asked: Instruction, settled: Instruction, *, as_json: bool = False) -> None:
    """Say what was guessed: a line for each operation, or an event."""
    for guess in guesses(asked, settled):
        if as_json:
            emit({"event": "labelled", "operation": guess.operation, "label": guess.label})
        else:
            say(guess.text)
