"""The pixel preview of a drag, without any model: moved regions over the filled hole, and the overlay for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.elastic import elastic, stretched
from dragflow.pixels.layers import Layers, layers_of, times
from dragflow.pixels.stack import stack_of


def draw_preview(task: DragTask, layers: Layers | None = None, *, texture: bool = False) -> Pixels:
    """The picture (H, W, 3) with every region moved and its hole filled; nothing outside the area changes.

    A region that leaves its place takes its shadow along, if it casts one (`dragflow.pixels.shadow`), and the light of
    its new place, where the picture tells it (`dragflow.pixels.light`). What stays in front of it is not covered. A
    copy is cast and lit in the same way; what is removed leaves with its shadow. What a part belongs to stretches along
    with it (`dragflow.pixels.elastic`).

    Args:
        task: what moves where.
        layers: of what the task cuts out, if they are made already.
        texture: give the filled holes the detail of their surroundings: for people, whom a blur disturbs more than
            what is made up. Without it the fill errs least, and a model is told no more than is known.
    """
    layers = layers_of(task) if layers is None else layers
    stack = stack_of(task, layers.textured if texture else layers)
    result, window = stack.background, stack.window
    for moved in stack.moved:
        light = moved.light()
        result = result if light is None else times(result, light)
    canvas = result[window].astype(np.float32)
    for moved in stack.moved:
        colours, weight = moved.piece()
        canvas += weight * (colours - canvas)
    drawn = task.image.copy()
    drawn[window] = np.where(task.area[window][..., None], np.rint(np.clip(canvas, 0, 255)), drawn[window])
    return drawn


def places(task: DragTask) -> tuple[Mask, Mask, Mask]:
    """What a bridge is told beside the preview, each (H, W): the area, the regions but for copied ones, which stay as
    they are, and where all go.
    """
    moved = [op.mask for op in task.operations if not op.stays]
    return task.area, _union(task, moved), _target(task, task.operations)


def hole(task: DragTask, seam: int) -> Mask:
    """What of the preview (H, W) a model that fills draws: what regions leave, and the seams around where they go.

    Either is grown by `seam` pixels, but not into what moved, nor into what stays in front of it, nor around a joint. A
    part that only stretches what it belongs to leaves nothing to be filled.
    """
    cut = [op for op in task.operations if op.is_cut]
    if not cut:
        return np.zeros_like(task.area)
    drawn = masks.dilate(_target(task, cut) | _left(task, cut), seam)
    fronts = [op.front for op in cut if op.front is not None]
    joints = [masks.dilate(masks.warp_mask(op.joint, op.matrix()), seam) for op in cut if op.joint is not None]
    return drawn & ~np.logical_or.reduce([_target(task, task.operations), *fronts, *joints]) & task.area


def _left(task: DragTask, cut: Sequence[ResolvedOperation]) -> Mask:
    """Where the picture behind regions that leave is now (H, W): it stretches along with parts."""
    gone = _union(task, [op.mask for op in cut if op.leaves])
    warp = elastic(task)
    if warp is None:
        return gone
    drawn = np.repeat(gone[..., None], 3, axis=2) * np.uint8(255)
    return stretched(drawn, warp.displacement(exact=warp.whole))[..., 0] > 127


def _target(task: DragTask, operations: Sequence[ResolvedOperation]) -> Mask:
    """Where regions go (H, W), as far as they are seen there."""
    return _union(task, [masks.warp_mask(masks.shown(op), op.matrix()) for op in operations if op.lands])


def _union(task: DragTask, found: Sequence[Mask]) -> Mask:
    return np.logical_or.reduce([np.zeros_like(task.area), *found])
