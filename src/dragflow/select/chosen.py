"""What finds the thing under points here: SAM 2.1 where its weights are, else colours and edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.select.sam2 import Sam2, cached_weights
from dragflow.select.thing import select_at


@dataclass(frozen=True)
class Selector:
    """A way to find the thing under points."""

    name: str
    """For people."""
    select: Callable[[Pixels, Sequence[Point]], Mask]
    """The thing (H, W) under points of a picture (H, W, 3)."""


BUILT_IN = Selector("colours and edges", select_at)


def selector(folder: Path | None = None, device: str | None = None) -> Selector:
    """SAM 2.1 of a folder or else of the hub's cache, or what needs no weights if neither is there.

    Raises:
        UserError: the folder is not a checkpoint.
    """
    found = cached_weights() if folder is None else folder
    return BUILT_IN if found is None else Selector("SAM 2.1", Sam2(found, device).select)
