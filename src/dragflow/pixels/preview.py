"""The pixel preview of a drag, without any model: moved regions over the filled hole, and the overlay for people."""

from __future__ import annotations

import numpy as np

from dragflow.core.arrays import Map, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels.elastic import elastic, stretched
from dragflow.pixels.layers import Layers, layers_of, times
from dragflow.pixels.matte import cut_out


def ghost(task: DragTask, layers: Layers | None = None) -> Pixels:
    """The picture (H, W, 3) with every region moved and its hole filled; nothing outside the area changes.

    A region that leaves its place takes its shadow along, if it casts one (`dragflow.pixels.shadow`), and the light of
    its new place, where the picture tells it (`dragflow.pixels.light`). What stays in front of it is not covered. What
    a part belongs to stretches along with it (`dragflow.pixels.elastic`).

    Args:
        task: what moves where.
        layers: of what the task cuts out, if they are made already.
    """
    parts = layers_of(task) if layers is None else layers
    operations = [operation for operation in task.operations if operation.is_cut]
    leaving = [(op, layer, _front(task, op)) for op, layer in zip(operations, parts.regions, strict=True)]
    result = parts.plate
    warp = elastic(task)
    if warp is not None:
        result = stretched(result, warp.displacement(exact=warp.whole))
    for operation, layer, front in leaving:
        if layer.shadow is not None:
            light = layer.shadow.moved(operation.matrix())
            result = times(result, light if front is None else 1 - (1 - light) * (1 - front))
    ys, xs = np.nonzero(task.area)
    window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))  # the only part that can change
    to_window: Matrix = ((1.0, 0.0, -float(xs.min())), (0.0, 1.0, -float(ys.min())))
    canvas = result[window].astype(np.float32)
    for operation, layer, front in leaving:
        motion = operation.matrix()
        colours, weight = layer.piece.moved(compose(to_window, motion), (canvas.shape[0], canvas.shape[1]))
        change = None if parts.light is None else parts.light.change(motion)
        if change is not None:
            colours = colours * change[window]
        if front is not None:
            weight = weight * (1 - front[window][..., None])
        canvas += weight * (colours - canvas)
    drawn = task.image.copy()
    drawn[window] = np.where(task.area[window][..., None], np.rint(np.clip(canvas, 0, 255)), drawn[window])
    return drawn


def _front(task: DragTask, operation: ResolvedOperation) -> Map | None:
    """The share (H, W) of each pixel that stays in front of a region; None if nothing does."""
    return None if operation.front is None else cut_out(task.image, operation.front, "soft").alpha
