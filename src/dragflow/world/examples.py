"""The five scenes to begin with: the bundled examples, and the pictures that the studio offers on a first visit."""

from __future__ import annotations

from dataclasses import dataclass

from dragflow.world.cases import DragCase, drag_case


@dataclass(frozen=True)
class Example:
    """A drag case of sprites that no training has seen."""

    name: str
    """As a folder is called."""
    title: str
    """As a person is told it."""
    kind: str
    seed: int

    def case(self, size: int) -> DragCase:
        """The case as a square of `size` pixels."""
        return drag_case(self.seed, self.kind, size, "test")


EXAMPLES = (
    Example("move-boat", "Move a boat", "translate", 308),
    Example("move-eagle", "Move an eagle", "translate", 309),
    Example("turn-guitar", "Turn a guitar", "rotate", 308),
    Example("shrink-house", "Shrink a house", "scale", 310),
    Example("stretch-eagle", "Stretch an eagle", "stretch", 309),
)
