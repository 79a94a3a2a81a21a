"""The pixel preview of a drag, without any model: moved regions over the filled hole, and the overlay for people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.core.task import DragTask
from dragflow.pixels.elastic import elastic, stretched
from dragflow.pixels.matte import CutOut, cut_out
from dragflow.pixels.plate import background_plate
from dragflow.pixels.shadow import find_shadow

Fill = Callable[[Pixels, Mask], Pixels]
"""Gives a new picture (H, W, 3) with the hole (H, W) filled."""


def ghost(task: DragTask, fill: Fill = background_plate, *, shadows: bool = True) -> Pixels:
    """The picture (H, W, 3) with every region moved and its hole filled; nothing outside the area changes.

    A region that leaves its place takes its shadow along, if it casts one (`dragflow.pixels.shadow`). What a part
    belongs to stretches along with it (`dragflow.pixels.elastic`).
    """
    leaving = [op for op in task.operations if op.is_cut]
    pieces = [cut_out(task.image, op.mask, op.cut) for op in leaving]
    covered = [op.mask | piece.support for op, piece in zip(leaving, pieces, strict=True)]
    hole = np.logical_or.reduce([np.zeros(task.area.shape, np.bool_), *covered])
    searched = [(op, find_shadow(task.image, op.mask)) for op in leaving] if shadows else []
    cast = [(op, shadow) for op, shadow in searched if shadow is not None]
    lit = task.image
    for _, shadow in cast:
        lit = np.where(hole[..., None], lit, _times(lit, 1 / shadow.light))
    result = fill(lit, hole)
    warp = elastic(task)
    if warp is not None:
        result = stretched(result, warp.displacement(exact=warp.whole))
    for operation, shadow in cast:
        result = _times(result, shadow.moved(operation.matrix()))
    ys, xs = np.nonzero(task.area)
    window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))  # the only part that can change
    to_window: Matrix = ((1.0, 0.0, -float(xs.min())), (0.0, 1.0, -float(ys.min())))
    canvas = result[window].astype(np.float32)
    for operation, piece in zip(leaving, pieces, strict=True):
        _paint(canvas, piece, compose(to_window, operation.matrix()))
    result[window] = np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)
    return np.where(task.area[..., None], result, task.image)


def _times(image: Pixels, factor: Map) -> Pixels:
    return np.rint(np.clip(image * factor[..., None], 0, 255)).astype(np.uint8)


def _paint(canvas: NDArray[np.float32], piece: CutOut, matrix: Matrix) -> None:
    colours, weight = piece.moved(matrix, (canvas.shape[0], canvas.shape[1]))
    canvas += weight * (colours - canvas)
