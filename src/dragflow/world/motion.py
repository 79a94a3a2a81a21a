"""Motions of an object as exact affine maps of the picture plane (points are (x, y) in pixels)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dragflow.core.arrays import Point

MotionType = Literal["translate", "rotate", "scale", "affine"]


@dataclass(frozen=True)
class Motion:
    """One motion: `matrix` (2 x 3) is the truth, the other fields say how it came about."""

    type: MotionType
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    about: Point | None = None
    degrees: float | None = None
    factor: float | None = None

    def apply(self, point: Point) -> Point:
        """Where a point goes."""
        (a, b, c), (d, e, f) = self.matrix
        return (a * point[0] + b * point[1] + c, d * point[0] + e * point[1] + f)

    def full(self) -> np.ndarray:
        """The map as a 3 x 3 matrix."""
        return np.array([*self.matrix, (0.0, 0.0, 1.0)])


def _about(linear: np.ndarray, centre: Point) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    c = np.asarray(centre, float)
    shift = c - linear @ c
    rows = [(float(linear[i, 0]), float(linear[i, 1]), float(shift[i])) for i in (0, 1)]
    return rows[0], rows[1]


def translate(offset: Point) -> Motion:
    """Moves by an offset in pixels."""
    return Motion("translate", ((1.0, 0.0, float(offset[0])), (0.0, 1.0, float(offset[1]))))


def rotate(about: Point, degrees: float) -> Motion:
    """Turns about an anchor; positive angles turn from +x towards +y (clockwise as seen on the screen)."""
    r = math.radians(degrees)
    linear = np.array([[math.cos(r), -math.sin(r)], [math.sin(r), math.cos(r)]])
    return Motion("rotate", _about(linear, about), about, float(degrees))


def scale(about: Point, factor: float) -> Motion:
    """Grows or shrinks about an anchor."""
    return Motion("scale", _about(np.eye(2) * factor, about), about, None, float(factor))


def stretch(about: Point, direction: Point, factor: float) -> Motion:
    """Stretches along a direction; the line through `about` at right angles to it (the seam) stays where it is."""
    u = np.asarray(direction, float) / math.hypot(*direction)
    return Motion("affine", _about(np.eye(2) + (factor - 1.0) * np.outer(u, u), about), about, None, float(factor))
