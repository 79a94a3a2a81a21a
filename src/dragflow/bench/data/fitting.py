"""The simplest motion that explains pairs of points, by least squares (Umeyama 1991 for the similarity)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Point
from dragflow.core.motion import Affine, Linear, Matrix, Motion, Rotate, Translate, about, apply
from dragflow.pixels import masks

Points = NDArray[np.float64]
"""(n, 2), x and y."""

RESIDUAL, RESIDUAL_SHARE, RESIDUAL_MOST = 2.0, 0.05, 0.5
"""A motion explains pairs if the rms distance to their targets is at most 2 px, or 5 % of their mean displacement if
that is more. It is never more than half the displacement: 2 px would let standing still explain a short drag."""
STRETCH = (0.5, 2.0)
"""Factors in any direction; beyond them, pairs that a person set are not meant as one motion."""
SHRINKING, LINE = 0.95, 0.2
"""The factor under which a similarity shrinks; the width of points, by their length, under which they are on a line."""


@dataclass(frozen=True)
class Fit:
    """A motion of points."""

    name: str
    """translation, rigid motion, similarity or affine map."""
    matrix: Matrix


def explain(
    begins: Points, targets: Points, stretch: tuple[float, float] = STRETCH, share: float = RESIDUAL_SHARE
) -> Fit | None:
    """The simplest motion that carries begin points to their targets; None if no single motion does.

    Tried in turn: translation, rotation about some point, similarity, affine map. `share` of the mean displacement is
    what may be left over. Points on a line that close on each other are not a similarity: nothing says that what is
    beside the line shrinks, and an eye that closes does not get narrower.
    """
    displacement = float(np.hypot(*(targets - begins).T).mean())
    allowed = min(max(RESIDUAL, share * displacement), RESIDUAL_MOST * displacement)
    for fit in _candidates(begins, targets):
        if fit.name == "similarity" and _shrinks(fit.matrix) and _on_a_line(begins):
            continue
        if _residual(fit.matrix, begins, targets) <= allowed and _plausible(fit.matrix, stretch):
            return fit
    return None


def nearest(begins: Points, targets: Points, stretch: tuple[float, float]) -> Fit:
    """The affine map closest to the pairs, or the translation if the map mirrors or stretches too much."""
    candidates = list(_candidates(begins, targets))
    return candidates[-1] if _plausible(candidates[-1].matrix, stretch) else candidates[0]


def translation(begins: Points, targets: Points) -> Fit:
    """The translation closest to the pairs; exact for a single pair."""
    return Fit("translation", about(mean_point(begins), ((1.0, 0.0), (0.0, 1.0)), mean_point(targets)))


def as_motion(fit: Fit, handle: Point, size: tuple[int, int]) -> Motion:
    """The fit as one of the editor's motions; a rotation about a point outside of the picture as an affine map."""
    if fit.name == "translation":
        return Translate(apply(fit.matrix, handle))
    (a, _, _), (d, _, _) = fit.matrix
    anchor = _fixed_point(fit.matrix)
    if fit.name == "rigid motion" and anchor is not None and masks.inside(anchor, size):
        return Rotate(anchor, degrees=math.degrees(math.atan2(d, a)))
    return Affine(fit.matrix)


def mean_point(points: Points) -> Point:
    """The centroid of points."""
    x, y = points.mean(axis=0)
    return float(x), float(y)


def _candidates(begins: Points, targets: Points) -> Iterator[Fit]:
    """The best fit of each kind, from the fewest parameters to the most; only what the number of pairs determines."""
    start, end = mean_point(begins), mean_point(targets)
    # A least-squares fit carries the centroid to the centroid, so only the linear part is left to find.
    p, q = begins - start, targets - end
    yield translation(begins, targets)
    if len(begins) < 2:
        return
    # In the complex plane a rotation and a scaling are one factor, and its least-squares value is a quotient of dot
    # products; scaled to length 1 it is the best rotation. It is 0 where the targets show no
    # direction, as when they are all in one place.
    z, w = p @ (1, 1j), q @ (1, 1j)
    turn = complex(np.vdot(z, w) / np.vdot(z, z))
    if turn:
        yield Fit("rigid motion", about(start, _linear(turn / abs(turn)), end))
        yield Fit("similarity", about(start, _linear(turn), end))
    if len(begins) < 3:
        return
    # Begin points on one line leave the map across it open: lstsq takes the smallest, 0, and `_plausible` refuses that.
    (a, d), (b, e) = np.linalg.lstsq(p, q, rcond=None)[0].tolist()
    yield Fit("affine map", about(start, ((a, b), (d, e)), end))


def _linear(turn: complex) -> Linear:
    return ((turn.real, -turn.imag), (turn.imag, turn.real))


def _residual(matrix: Matrix, begins: Points, targets: Points) -> float:
    linear, shift = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    return float(np.sqrt(((begins @ linear.T + shift - targets) ** 2).sum(axis=1).mean()))


def _plausible(matrix: Matrix, stretch: tuple[float, float]) -> bool:
    """Whether a map does not mirror, and stretches every direction within the limits."""
    linear = np.array(matrix)[:, :2]
    factors = np.linalg.svd(linear, compute_uv=False)
    # A factor of exactly 2 must not be refused because of rounding.
    in_limits = factors.min() >= stretch[0] - 1e-9 and factors.max() <= stretch[1] + 1e-9
    return bool(np.linalg.det(linear) > 0 and in_limits)


def _shrinks(matrix: Matrix) -> bool:
    return bool(np.linalg.det(np.array(matrix)[:, :2]) < SHRINKING**2)


def _on_a_line(points: Points) -> bool:
    along, across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[:2]
    return bool(across < LINE * along)


def _fixed_point(matrix: Matrix) -> Point | None:
    """The point that a map keeps in place; None if there is none or more than one."""
    linear, shift = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    rest = np.eye(2) - linear
    if abs(np.linalg.det(rest)) < 1e-12:
        return None
    x, y = np.linalg.solve(rest, shift)
    return float(x), float(y)
