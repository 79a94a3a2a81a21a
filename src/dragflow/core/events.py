"""The events that an observer gets while an edit or a training runs; it stops one by raising `Cancelled`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Phase = Literal["encode", "train", "bridge", "invert", "start", "drag", "denoise", "decode"]


@dataclass(frozen=True)
class Started:
    """A phase begins."""

    phase: Phase
    total: int
    """Model calls (or iterations) that the phase will make."""


@dataclass(frozen=True)
class Stepped:
    """One model call of a phase (in `drag` and `train`: one iteration) has ended."""

    phase: Phase
    index: int
    """1 for the first call."""
    total: int
    loss: float | None = None
    """Supervision loss in phase `drag`, flow loss in phase `train`; else None."""
    progress: float | None = None
    """Motion progress p in [0, 1], in phase `drag` only."""
    preview: Callable[[], NDArray[np.uint8]] | None = None
    """Call it to get the picture as it looks now, (h, w, 3); it costs a decode, and in `drag` one model call too."""


@dataclass(frozen=True)
class Finished:
    """A phase has ended."""

    phase: Phase
    seconds: float


Event = Started | Stepped | Finished
Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """The observer that does nothing."""
