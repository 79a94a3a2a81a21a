"""Motions, and each as an affine matrix at any progress between nothing and done (paper Sec. 3.2, App. C)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from dragflow.core.arrays import Point
from dragflow.core.checked import Checked
from dragflow.core.fields import Coordinate, Degrees, Factor

Label = Literal["relocation", "deformation", "copy"]
"""`relocation`: the region leaves its place and a hole there. `deformation`: it is a part, and what it belongs to
stretches along (paper Sec. 3.2 has both for translations). `copy`: it stays, and appears where it goes as well."""
Row = tuple[Coordinate, Coordinate, Coordinate]
Matrix = tuple[Row, Row]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Translate(Checked):
    """Carry the handle of the region to `to`."""

    to: Point
    label: Label | None = None
    """Whether the region is a whole object, or a part that stretches what it belongs to, or is copied; guessed to be
    one of the first two when None."""
    type: Literal["translate"] = field(default="translate", kw_only=True, repr=False)


@dataclass(frozen=True)
class Rotate(Checked):
    """Turn the region about an anchor, until the handle points at `to`, or by `degrees` (clockwise as seen)."""

    about: Point
    to: Point | None = None
    degrees: Degrees | None = None
    label: Label | None = None
    """As that of a translation."""
    type: Literal["rotate"] = field(default="rotate", kw_only=True, repr=False)


@dataclass(frozen=True)
class Scale(Checked):
    """Scale the region about an anchor, by one factor or by one for x and one for y."""

    about: Point
    factor: Factor | tuple[Factor, Factor]
    label: Label | None = None
    """As that of a translation."""
    type: Literal["scale"] = field(default="scale", kw_only=True, repr=False)


@dataclass(frozen=True)
class Affine(Checked):
    """Move the region by an invertible map: rows (a, b, c), (d, e, f); x' = a x + b y + c, y' = d x + e y + f."""

    matrix: Matrix
    label: Label | None = None
    """As that of a translation."""
    type: Literal["affine"] = field(default="affine", kw_only=True, repr=False)


@dataclass(frozen=True)
class Remove(Checked):
    """Take the region and its shadow out of the picture, and fill the hole."""

    label: ClassVar[None] = None
    """There is nothing to choose."""
    type: Literal["remove"] = field(default="remove", kw_only=True, repr=False)


Motion = Translate | Rotate | Scale | Affine | Remove
"""What a region does; `type` tells them apart in files."""


def motion_matrix(motion: Motion, handle: Point, progress: float = 1.0) -> Matrix:
    """Affine map from source pixels to target pixels, each motion interpolated linearly in its own parameters.

    A translation goes `progress` of its offset, a rotation `progress` of its angle, a scaling factor**progress; a
    general affine map is split into a rotation and a stretch (polar form) while its handle goes straight. What is
    removed does not move.
    """
    if isinstance(motion, Remove):
        return IDENTITY
    if isinstance(motion, Translate):
        return (
            (1.0, 0.0, progress * (motion.to[0] - handle[0])),
            (0.0, 1.0, progress * (motion.to[1] - handle[1])),
        )
    if isinstance(motion, Rotate):
        return about(motion.about, rotation(math.radians(progress * rotation_degrees(motion, handle))))
    if isinstance(motion, Scale):
        sx, sy = scale_factors(motion)
        return about(motion.about, ((sx**progress, 0.0), (0.0, sy**progress)))
    return _affine_at(motion, handle, progress)


def seen_from(motion: Motion, origin: Point) -> Motion:
    """The same motion in a picture whose top left pixel is at `origin` of this one."""
    if isinstance(motion, Remove):
        return motion

    def moved(point: Point) -> Point:
        return (point[0] - origin[0], point[1] - origin[1])

    if isinstance(motion, Translate):
        return replace(motion, to=moved(motion.to))
    if isinstance(motion, Rotate):
        return replace(motion, about=moved(motion.about), to=None if motion.to is None else moved(motion.to))
    if isinstance(motion, Scale):
        return replace(motion, about=moved(motion.about))
    there: Matrix = ((1.0, 0.0, origin[0]), (0.0, 1.0, origin[1]))
    return replace(motion, matrix=compose(invert(there), compose(motion.matrix, there)))


def rotation_degrees(motion: Rotate, handle: Point) -> float:
    """Signed angle of a rotation in (-180, 180] when it is given by points, else as given."""
    if motion.degrees is not None:
        return motion.degrees
    if motion.to is None:
        raise ValueError("a rotation needs `to` or `degrees`")
    (ax, ay), (bx, by), (tx, ty) = motion.about, handle, motion.to
    angle = math.degrees(math.atan2(ty - ay, tx - ax) - math.atan2(by - ay, bx - ax))
    return 180.0 - (180.0 - angle) % 360.0


def scale_factors(motion: Scale) -> tuple[float, float]:
    """The factors along x and y."""
    return motion.factor if isinstance(motion.factor, tuple) else (motion.factor, motion.factor)


def inside(point: Point, size: tuple[int, int]) -> bool:
    """Whether a point is on a picture of `size` (h, w), its outermost half pixels included."""
    h, w = size
    return -0.5 <= point[0] <= w - 0.5 and -0.5 <= point[1] <= h - 0.5


def apply(matrix: Matrix, point: Point) -> Point:
    """The image of a point."""
    (a, b, c), (d, e, f) = matrix
    x, y = point
    return (a * x + b * y + c, d * x + e * y + f)


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The map that does `first`, then `second`."""
    (a, b, _), (d, e, _) = second
    (p, q, r), (s, t, u) = first
    cx, cy = apply(second, (r, u))
    return ((a * p + b * s, a * q + b * t, cx), (d * p + e * s, d * q + e * t, cy))


def invert(matrix: Matrix) -> Matrix:
    """The inverse map."""
    (a, b, c), (d, e, f) = matrix
    det = a * e - b * d
    ia, ib, id_, ie = e / det, -b / det, -d / det, a / det
    return ((ia, ib, -(ia * c + ib * f)), (id_, ie, -(id_ * c + ie * f)))


Linear = tuple[tuple[float, float], tuple[float, float]]


def rotation(radians: float) -> Linear:
    """The 2x2 rotation that turns +x towards +y."""
    cos, sin = math.cos(radians), math.sin(radians)
    return ((cos, -sin), (sin, cos))


def about(anchor: Point, linear: Linear, to: Point | None = None) -> Matrix:
    """The affine map with this linear part that sends `anchor` to `to` (to itself when None)."""
    (a, b), (d, e) = linear
    x, y = anchor
    tx, ty = to or anchor
    return ((a, b, tx - a * x - b * y), (d, e, ty - d * x - e * y))


def _affine_at(motion: Affine, handle: Point, progress: float) -> Matrix:
    (a, b, _), (d, e, _) = motion.matrix
    if a * e - b * d > 0:
        angle = math.atan2(d - b, a + e)
        (ra, rb), (rd, re) = rotation(-angle)  # stretch = rotation(-angle) @ linear, symmetric positive definite
        sa, sb = 1 + progress * (ra * a + rb * d - 1), progress * (ra * b + rb * e)
        sd, se = progress * (rd * a + re * d), 1 + progress * (rd * b + re * e - 1)
        (ra, rb), (rd, re) = rotation(progress * angle)
        linear = ((ra * sa + rb * sd, ra * sb + rb * se), (rd * sa + re * sd, rd * sb + re * se))
    else:  # no continuous invertible path leads to a mirror image, so it is applied from the first step
        linear = ((a, b), (d, e)) if progress > 0 else ((1.0, 0.0), (0.0, 1.0))
    end = apply(motion.matrix, handle)
    current = (handle[0] + progress * (end[0] - handle[0]), handle[1] + progress * (end[1] - handle[1]))
    return about(handle, linear, current)
