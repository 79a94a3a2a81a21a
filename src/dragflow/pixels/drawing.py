"""What is drawn on a picture for people: source regions, targets, paths, anchors, removals, the editable area."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.motion import Rotate, Scale, apply
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.preview import draw_preview

_SOURCE, _TARGET, _AREA, _REMOVED = (66, 135, 245), (52, 199, 89), (255, 204, 0), (255, 45, 85)
_TINT = 0.35
"""Opacity of a mark's colour on its region: the picture under it stays visible."""

Draw = Callable[[int, tuple[int, int, int]], object]


def overlay(task: DragTask) -> Pixels:
    """The preview for people (H, W, 3), with source outline blue, or red where it is removed, target green, editable
    area, arrows, anchors.
    """
    canvas = draw_preview(task, texture=True).copy()
    canvas[~task.area] = (canvas[~task.area] * 0.65).astype(np.uint8)
    _outline(canvas, task.area, _AREA, _thickness(task))
    _mark(canvas, task)
    return canvas


def marks(task: DragTask) -> Pixels:
    """What was drawn on the source (H, W, 3), and nothing guessed: source regions blue, removed ones red, targets
    green, arrows, anchors.

    Unlike `overlay` it shows the same pixels whether a translation moves an object or stretches a part of one.
    """
    canvas = task.image.copy()
    for operation in task.operations:
        for mask, color in ((operation.mask, _own(operation)), (masks.landing(operation), _TARGET)):
            canvas[mask] = np.rint(canvas[mask] * (1 - _TINT) + np.array(color) * _TINT).astype(np.uint8)
    _mark(canvas, task)
    return canvas


def _own(operation: ResolvedOperation) -> tuple[int, int, int]:
    return _SOURCE if operation.lands else _REMOVED


def _thickness(task: DragTask) -> int:
    return max(1, round(min(task.area.shape) / 256))


def _mark(canvas: Pixels, task: DragTask) -> None:
    thick = _thickness(task)
    for operation in task.operations:
        _outline(canvas, operation.mask, _own(operation), thick)
        _outline(canvas, masks.landing(operation), _TARGET, thick)
        steps = [apply(operation.matrix(k / 24), operation.handle) for k in range(25)]
        _arrow(canvas, steps, thick)
        if isinstance(operation.motion, Rotate | Scale):
            _anchor(canvas, operation.motion.about, thick)


def _outline(canvas: Pixels, mask: Mask, color: tuple[int, int, int], thick: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _twice(canvas, thick, color, lambda width, ink: cv2.drawContours(canvas, contours, -1, ink, width, cv2.LINE_AA))


def _arrow(canvas: Pixels, points: list[Point], thick: int) -> None:
    """A line along the path of the handle, with a head at its end."""
    if math.dist(points[0], points[-1]) < 1:  # a motion about its own centre: the anchor shows it
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
    """Draw in black and then thinner in colour, which is visible on any picture."""
    draw(3 * thick, (0, 0, 0))
    draw(thick, color)
