"""Motions of an object as exact affine maps of the picture plane; points are (x, y) in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dragflow.core.arrays import Point
from dragflow.core.motion import Affine, Matrix, Rotate, Scale, Translate, apply, inside, rotation
from dragflow.core.motion import Motion as Asked

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Motion:
    """One motion; scenes move by `matrix` alone, the other fields keep the parameters it was made from."""

    type: Literal["translate", "rotate", "scale", "affine"]
    matrix: Matrix
    about: Point | None = None
    degrees: float | None = None
    factor: float | None = None

    def apply(self, point: Point) -> Point:
        """Where a point goes."""
        return apply(self.matrix, point)

    def asked(self, handle: Point, size: tuple[int, int]) -> Asked:
        """The motion as one asks the editor for it, of a region with this handle on a picture of `size` (h, w).

        An affine map where the editor's own motion would have its anchor or its target outside of the picture.
        """
        anchored = self.about is not None and inside(self.about, size)
        if self.type == "rotate" and anchored and self.about is not None:
            return Rotate(self.about, degrees=self.degrees)
        if self.type == "scale" and anchored and self.about is not None and self.factor is not None:
            return Scale(self.about, self.factor)
        to = self.apply(handle)
        if self.type == "translate" and inside(to, size):
            return Translate(to)
        return Affine(self.matrix)


def homogeneous(matrix: Matrix) -> NDArray[np.float64]:
    """The map as a 3 x 3 matrix, to multiply and invert with NumPy."""
    return np.array([*matrix, (0.0, 0.0, 1.0)])


def to_matrix(homogeneous: NDArray[np.float64]) -> Matrix:
    """The upper two rows of a 3 x 3 matrix."""
    first, second = ((float(row[0]), float(row[1]), float(row[2])) for row in homogeneous[:2])
    return first, second


def _about(linear: NDArray[np.float64], anchor: Point) -> Matrix:
    """The map with this linear part that keeps `anchor` in place.

    `core.motion.about` adds up in another order. The last bits of a pose can decide a byte of a picture, and scenes
    must stay the same to the byte (tables and trained weights were made from them), so this one stays.
    """
    fixed = np.asarray(anchor, float)
    return to_matrix(np.column_stack([linear, fixed - linear @ fixed]))


def translate(offset: Point) -> Motion:
    """Move by an offset in pixels."""
    return Motion("translate", ((1.0, 0.0, float(offset[0])), (0.0, 1.0, float(offset[1]))))


def rotate(about: Point, degrees: float) -> Motion:
    """Rotate about an anchor; positive angles turn from +x towards +y (clockwise as seen on the screen)."""
    return Motion("rotate", _about(np.array(rotation(math.radians(degrees))), about), about, float(degrees))


def scale(about: Point, factor: float) -> Motion:
    """Scale about an anchor."""
    return Motion("scale", _about(np.eye(2) * factor, about), about, None, float(factor))


def stretch(about: Point, direction: Point, factor: float) -> Motion:
    """Stretch along a direction; the seam, the line through `about` at right angles to it, stays in place."""
    unit = np.asarray(direction, float) / math.hypot(*direction)
    linear = np.eye(2) + (factor - 1.0) * np.outer(unit, unit)
    return Motion("affine", _about(linear, about), about, None, float(factor))
