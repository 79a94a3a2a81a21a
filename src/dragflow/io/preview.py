"""The pixel preview of a drag, without any model: moved regions over the filled hole, and the overlay for people."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from dragflow.core.motion import Matrix, apply, compose, motion_matrix
from dragflow.core.task import DragTask, Point, ResolvedOperation, Rotate, Scale, Translate
from dragflow.io import masks
from dragflow.io.correlation import Map
from dragflow.io.masks import Mask
from dragflow.io.plate import background_plate
from dragflow.io.resolve import full_matrix
from dragflow.io.shadow import find_shadow

_SOURCE, _TARGET, _AREA = (66, 135, 245), (52, 199, 89), (255, 204, 0)
_TINT = 0.35
"""How much of a mark's colour lies on its region: the picture below stays to be seen."""

Pixels = NDArray[np.uint8]
Draw = Callable[[int, tuple[int, int, int]], object]
Fill = Callable[[Pixels, Mask], Pixels]
"""Gives a new picture (H, W, 3) with the hole (H, W) filled."""


def is_deformation(operation: ResolvedOperation) -> bool:
    """Whether the region is a part that stretches, so that what it leaves behind stays filled with itself."""
    return isinstance(operation.motion, Translate) and operation.motion.label == "deformation"


def ghost(task: DragTask, fill: Fill = background_plate, *, shadows: bool = True) -> Pixels:
    """The picture (H, W, 3) with every region moved and its hole filled; nothing outside the area changes.

    A region that leaves its place takes its shadow along, where it throws one (`dragflow.io.shadow`).
    """
    leaving = [op for op in task.operations if not is_deformation(op)]
    hole = np.logical_or.reduce([op.mask for op in leaving]) if leaving else np.zeros(task.area.shape, dtype=np.bool_)
    found = [(op, find_shadow(task.image, op.mask)) for op in leaving] if shadows else []
    thrown = [(op, shadow) for op, shadow in found if shadow is not None]
    lit = task.image
    for _, shadow in thrown:
        lit = np.where(hole[..., None], lit, _times(lit, 1 / shadow.light))
    result = fill(lit, hole)
    for operation, shadow in thrown:
        result = _times(result, shadow.moved(full_matrix(operation)))
    ys, xs = np.nonzero(task.area)
    window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))  # the only part that can change
    to_window: Matrix = ((1.0, 0.0, -float(xs.min())), (0.0, 1.0, -float(ys.min())))
    canvas = result[window].astype(np.float32)
    for operation in task.operations:
        # Soft inside the rim alone: what lies beside the region must not be painted along its way.
        alpha = cv2.GaussianBlur(operation.mask.astype(np.float32), (3, 3), 0) * operation.mask
        for progress in trail(operation):
            matrix = motion_matrix(operation.motion, operation.handle, progress)
            _paint(canvas, task.image, alpha, compose(to_window, matrix))
    result[window] = np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)
    return np.where(task.area[..., None], result, task.image)


def _times(image: Pixels, factor: Map) -> Pixels:
    return np.rint(np.clip(image * factor[..., None], 0, 255)).astype(np.uint8)


def trail(operation: ResolvedOperation, cell: float = 1.0) -> list[float]:
    """Progress values at which a region is painted: the end, or for a deformation all the way, every `cell` pixels."""
    if not is_deformation(operation):
        return [1.0]
    end = apply(full_matrix(operation), operation.handle)
    steps = max(1, math.ceil(math.dist(end, operation.handle) / cell))
    return [(k + 1) / steps for k in range(steps)]


def _paint(canvas: NDArray[np.float32], image: Pixels, alpha: MatLike, matrix: Matrix) -> None:
    h, w = canvas.shape[:2]
    warp = np.array(matrix, dtype=np.float64)
    moved = cv2.warpAffine(image, warp, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = np.asarray(cv2.warpAffine(alpha, warp, (w, h), flags=cv2.INTER_LINEAR))[..., None]
    canvas += weight * (np.asarray(moved, dtype=np.float32) - canvas)


def overlay(task: DragTask) -> Pixels:
    """The preview for people (H, W, 3): ghost, source outline blue, target green, editable area, arrows, anchors."""
    canvas = ghost(task).copy()
    canvas[~task.area] = (canvas[~task.area] * 0.65).astype(np.uint8)
    _outline(canvas, task.area, _AREA, _thickness(task))
    _mark(canvas, task)
    return canvas


def marks(task: DragTask) -> Pixels:
    """What was drawn on the source (H, W, 3), and nothing guessed: source regions blue, targets green, arrows, anchors.

    Unlike `overlay` it shows the same pixels whether a translation moves an object or stretches a part of one.
    """
    canvas = task.image.copy()
    for operation in task.operations:
        for mask, color in (
            (operation.mask, _SOURCE),
            (masks.warp_mask(operation.mask, full_matrix(operation)), _TARGET),
        ):
            canvas[mask] = np.rint(canvas[mask] * (1 - _TINT) + np.array(color) * _TINT).astype(np.uint8)
    _mark(canvas, task)
    return canvas


def _thickness(task: DragTask) -> int:
    return max(1, round(min(task.area.shape) / 256))


def _mark(canvas: Pixels, task: DragTask) -> None:
    thick = _thickness(task)
    for operation in task.operations:
        matrix = full_matrix(operation)
        _outline(canvas, operation.mask, _SOURCE, thick)
        _outline(canvas, masks.warp_mask(operation.mask, matrix), _TARGET, thick)
        steps = [apply(motion_matrix(operation.motion, operation.handle, k / 24), operation.handle) for k in range(25)]
        _arrow(canvas, steps, thick)
        if isinstance(operation.motion, Rotate | Scale):
            _anchor(canvas, operation.motion.about, thick)


def _outline(canvas: Pixels, mask: Mask, color: tuple[int, int, int], thick: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _twice(canvas, thick, color, lambda width, ink: cv2.drawContours(canvas, contours, -1, ink, width, cv2.LINE_AA))


def _arrow(canvas: Pixels, points: list[Point], thick: int) -> None:
    """A line along the path of the handle, with a head at its end."""
    if math.dist(points[0], points[-1]) < 1:  # about its own centre: the anchor says it all
        return
    line = np.rint(points).astype(np.int32)
    before = next((p for p in reversed(points) if math.dist(p, points[-1]) > 8 * thick), points[0])
    heading = math.atan2(points[-1][1] - before[1], points[-1][0] - before[0])
    wings = [(math.cos(heading + turn), math.sin(heading + turn)) for turn in (2.6, -2.6)]
    head = [(points[-1][0] + 10 * thick * x, points[-1][1] + 10 * thick * y) for x, y in wings]
    tip = np.rint([head[0], points[-1], head[1]]).astype(np.int32)
    _twice(
        canvas,
        thick,
        (255, 255, 255),
        lambda width, ink: cv2.polylines(canvas, [line, tip], False, ink, width, cv2.LINE_AA),
    )


def _anchor(canvas: Pixels, point: Point, thick: int) -> None:
    at = (round(point[0]), round(point[1]))

    def draw(width: int, ink: tuple[int, int, int]) -> None:
        cv2.circle(canvas, at, 4 * thick, ink, width, cv2.LINE_AA)
        cv2.drawMarker(canvas, at, ink, cv2.MARKER_CROSS, 14 * thick, width)

    _twice(canvas, thick, (255, 59, 48), draw)


def _twice(canvas: Pixels, thick: int, color: tuple[int, int, int], draw: Draw) -> None:
    """Draw in black and then thinner in colour, so that it can be seen on any picture."""
    draw(3 * thick, (0, 0, 0))
    draw(thick, color)
