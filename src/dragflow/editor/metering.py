"""The cost of an edit: seconds and model calls of each phase, and peak memory."""

from __future__ import annotations

import sys

import torch

from dragflow.core.events import Event, Finished, Observer, Stepped
from dragflow.core.result import Timing


def reset_peak_memory() -> None:
    """Forget the accelerator's peak so far."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> float:
    """MiB: the accelerator's peak since the reset; without one the process's since its start."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class Timer:
    """Passes events on, and records seconds and calls of each phase."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._calls: dict[str, int] = {}
        self._seconds: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._calls[event.phase] = event.index
        elif isinstance(event, Finished):
            self._seconds[event.phase] = event.seconds
        self._observer(event)

    def timings(self, *, shared: bool = False) -> tuple[Timing, ...]:
        """The phases that have ended so far."""
        return tuple(
            Timing(name, round(seconds, 4), self._calls.get(name, 0), shared) for name, seconds in self._seconds.items()
        )
