"""A drag as layers that lie on each other: what stays, then shadows, then every region that is cut out, where it goes.

What is removed is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels.elastic import elastic, stretched
from dragflow.pixels.layers import Layer, Layers, layers_of
from dragflow.pixels.light import Light
from dragflow.pixels.matte import cut_out

Corner = tuple[slice, slice]
"""Rows and columns of a part of a picture."""


@dataclass(frozen=True, eq=False)
class Moved:
    """A region at its new place; what is drawn of it is made when it is asked for, as each fills the picture."""

    number: int
    """Of its operation, from 0."""
    operation: ResolvedOperation
    layer: Layer
    front: Map | None
    """(H, W): the share of each pixel that stays in front of it; None: nothing does."""
    window: Corner
    """Where the picture may change."""
    lit: Light | None
    """The light of the picture, which is another where it goes; None: it does not vary."""

    def light(self) -> Map | None:
        """(H, W): the light that its shadow leaves, 0 to 1; None: it casts none."""
        if self.layer.shadow is None:
            return None
        light = self.layer.shadow.moved(self.operation.matrix())
        return light if self.front is None else 1 - (1 - light) * (1 - self.front)

    def piece(self) -> tuple[Map, Map]:
        """Its colours (h, w, 3) and shares (h, w, 1) in the window; a colour may be brighter than white."""
        rows, columns = self.window
        to_window: Matrix = ((1.0, 0.0, -float(columns.start)), (0.0, 1.0, -float(rows.start)))
        size = (rows.stop - rows.start, columns.stop - columns.start)
        motion = self.operation.matrix()
        colours, weight = self.layer.piece.moved(compose(to_window, motion), size)
        change = None if self.lit is None else self.lit.change(motion)
        if change is not None:
            colours = colours * change[self.window]
        if self.front is not None:
            weight = weight * (1 - self.front[self.window][..., None])
        return colours, weight


@dataclass(frozen=True, eq=False)
class Stack:
    """The layers of a drag, from the lowest to the highest; of each, only what is in the area counts."""

    background: Pixels
    """(H, W, 3): what stays and what a part stretches, with the holes filled."""
    moved: tuple[Moved, ...]
    """First all their shadows are multiplied in, then they are laid over, both in this order."""
    area: Mask
    """(H, W)."""
    window: Corner
    """The smallest one around the area."""


def stack_of(task: DragTask, layers: Layers | None = None) -> Stack:
    """The layers of a drag.

    Args:
        task: what moves where.
        layers: of what the task cuts out, if they are made already.
    """
    parts = layers_of(task) if layers is None else layers
    ys, xs = np.nonzero(task.area)
    window = (slice(int(ys.min()), int(ys.max()) + 1), slice(int(xs.min()), int(xs.max()) + 1))
    background, warp = parts.plate, elastic(task)
    if warp is not None:
        background = stretched(background, warp.displacement(exact=warp.whole))
    cut = [(number, operation) for number, operation in enumerate(task.operations) if operation.is_cut]
    moved = tuple(
        Moved(number, operation, layer, _front(task, operation), window, parts.light)
        for (number, operation), layer in zip(cut, parts.regions, strict=True)
        if operation.lands
    )
    return Stack(background, moved, task.area, window)


def _front(task: DragTask, operation: ResolvedOperation) -> Map | None:
    """The share (H, W) of each pixel that stays in front of a region; None if nothing does."""
    return None if operation.front is None else cut_out(task.image, operation.front, "soft").alpha
