"""The simplest motion that explains pairs of points, by least squares (Umeyama 1991 for the similarity)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Point
from dragflow.core.motion import Affine, Label, Linear, Matrix, Motion, Rotate, Translate, about, apply
from dragflow.pixels import masks

Points = NDArray[np.float64]
"""(n, 2), x and y."""

RESIDUAL, RESIDUAL_SHARE, RESIDUAL_MOST = 2.0, 0.05, 0.5
"""A motion explains pairs when the rms distance from their targets is at most 2 px, or 5 % of their mean displacement
where that is more; never more than half of it, or for short drags standing still would be an explanation."""
STRETCH = (0.5, 2.0)
"""Factors, in any direction, beyond which pairs that a person set are not meant as one motion."""


@dataclass(frozen=True)
class Fit:
    """A motion of points."""

    name: str
    """As people call it: translation, rigid motion, similarity, affine map."""
    matrix: Matrix


def explain(begins: Points, targets: Points, stretch: tuple[float, float] = STRETCH) -> Fit | None:
    """The simplest motion that carries begin points to their targets; None when no one motion does.

    Tried in turn: translation, rotation about some point, similarity, affine map.
    """
    displacement = float(np.hypot(*(targets - begins).T).mean())
    allowed = min(max(RESIDUAL, RESIDUAL_SHARE * displacement), RESIDUAL_MOST * displacement)
    for fit in _candidates(begins, targets):
        if _residual(fit.matrix, begins, targets) <= allowed and _modest(fit.matrix, stretch):
            return fit
    return None


def nearest(begins: Points, targets: Points, stretch: tuple[float, float]) -> Fit:
    """The affine map that comes nearest, or the translation when that one mirrors or stretches too much."""
    candidates = list(_candidates(begins, targets))
    return candidates[-1] if _modest(candidates[-1].matrix, stretch) else candidates[0]


def translation(begins: Points, targets: Points) -> Fit:
    """The translation that comes nearest; of one pair it is exact."""
    return Fit("translation", about(mean_point(begins), ((1.0, 0.0), (0.0, 1.0)), mean_point(targets)))


def as_motion(fit: Fit, handle: Point, size: tuple[int, int], label: Label) -> Motion:
    """The motion as the editor has it; a rotation about a point outside of the picture (h, w) as an affine map."""
    if fit.name == "translation":
        return Translate(apply(fit.matrix, handle), label)
    (a, _, _), (d, _, _) = fit.matrix
    anchor = _fixed_point(fit.matrix)
    if fit.name == "rigid motion" and anchor is not None and masks.inside(anchor, size):
        return Rotate(anchor, degrees=math.degrees(math.atan2(d, a)))
    return Affine(fit.matrix)


def mean_point(points: Points) -> Point:
    """Their centroid."""
    x, y = points.mean(axis=0)
    return float(x), float(y)


def _candidates(begins: Points, targets: Points) -> Iterator[Fit]:
    """From few parameters to many."""
    start, end = mean_point(begins), mean_point(targets)
    p, q = begins - start, targets - end
    yield translation(begins, targets)
    if len(begins) < 2:
        return
    z, w = p @ (1, 1j), q @ (1, 1j)
    turn = complex(np.vdot(z, w) / np.vdot(z, z))  # a rotation and a scaling as one complex factor
    if turn:
        yield Fit("rigid motion", about(start, _linear(turn / abs(turn)), end))
        yield Fit("similarity", about(start, _linear(turn), end))
    if len(begins) < 3:
        return
    (a, d), (b, e) = np.linalg.lstsq(p, q, rcond=None)[0].tolist()
    yield Fit("affine map", about(start, ((a, b), (d, e)), end))


def _linear(turn: complex) -> Linear:
    return ((turn.real, -turn.imag), (turn.imag, turn.real))


def _residual(matrix: Matrix, begins: Points, targets: Points) -> float:
    linear, shift = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    return float(np.sqrt(((begins @ linear.T + shift - targets) ** 2).sum(axis=1).mean()))


def _modest(matrix: Matrix, stretch: tuple[float, float]) -> bool:
    """Whether a map mirrors nothing, and stretches every direction within the limits."""
    linear = np.array(matrix)[:, :2]
    factors = np.linalg.svd(linear, compute_uv=False)
    # Rounding must not refuse a factor of exactly 2.
    within = factors.min() >= stretch[0] - 1e-9 and factors.max() <= stretch[1] + 1e-9
    return bool(np.linalg.det(linear) > 0 and within)


def _fixed_point(matrix: Matrix) -> Point | None:
    linear, shift = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    rest = np.eye(2) - linear
    if abs(np.linalg.det(rest)) < 1e-12:
        return None
    x, y = np.linalg.solve(rest, shift)
    return float(x), float(y)
