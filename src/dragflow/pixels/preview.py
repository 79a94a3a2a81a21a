"""The pixel preview of a drag, without any model: moved regions over the filled hole, and the overlay for people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.core.task import DragTask
from dragflow.pixels.elastic import elastic, stretched
from dragflow.pixels.layers import Layers, layers_of, times
from dragflow.pixels.matte import CutOut


def ghost(task: DragTask, layers: Layers | None = None) -> Pixels:
    """The picture (H, W, 3) with every region moved and its hole filled; nothing outside the area changes.

    A region that leaves its place takes its shadow along, if it casts one (`dragflow.pixels.shadow`). What a part
    belongs to stretches along with it (`dragflow.pixels.elastic`).

    Args:
        task: what moves where.
        layers: of what the task cuts out, if they are made already.
    """
    leaving = [op for op in task.operations if op.is_cut]
    parts = layers_of(task) if layers is None else layers
    result = parts.plate
    warp = elastic(task)
    if warp is not None:
        result = stretched(result, warp.displacement(exact=warp.whole))
    for operation, layer in zip(leaving, parts.regions, strict=True):
        if layer.shadow is not None:
            result = times(result, layer.shadow.moved(operation.matrix()))
    ys, xs = np.nonzero(task.area)
    window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))  # the only part that can change
    to_window: Matrix = ((1.0, 0.0, -float(xs.min())), (0.0, 1.0, -float(ys.min())))
    canvas = result[window].astype(np.float32)
    for operation, layer in zip(leaving, parts.regions, strict=True):
        change = None if parts.light is None else parts.light.change(operation.matrix())
        _paint(canvas, layer.piece, compose(to_window, operation.matrix()), None if change is None else change[window])
    drawn = task.image.copy()
    drawn[window] = np.where(task.area[window][..., None], np.rint(np.clip(canvas, 0, 255)), drawn[window])
    return drawn


def _paint(canvas: NDArray[np.float32], piece: CutOut, matrix: Matrix, change: Map | None) -> None:
    colours, weight = piece.moved(matrix, (canvas.shape[0], canvas.shape[1]))
    if change is not None:
        colours = colours * change
    canvas += weight * (colours - canvas)
