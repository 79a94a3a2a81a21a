"""The light that varies over a picture, and how a thing looks when it is moved from a dark place to a bright one.

Light multiplies colours: so it shows as slopes of the logarithm of the picture that most places agree on, whatever they
show, and darkens texture as much as the ground that it is on. A polynomial is fitted to those slopes, robustly, in
alternate squares of the picture: what both halves say counts. Where texture does not follow (a sky, a painted gradient)
or there is none, nothing is known of the light, and nothing is relit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix
from dragflow.pixels.reduced import enlarged, reduced, reduced_mask, scaled

_SIDE = 96
"""The shorter side, in pixels, of the picture that slopes are read in; texture is read in one twice as large."""
_DEGREE = 3
"""Of the polynomial: a spot of light has an inflection."""
_STEPS = (4, 8)
"""Distances over which slopes are read: far enough for texture to be passed over, and for a level to show."""
_SQUARE = 12
"""Side of the alternate squares."""
_TYPICAL, _ROUNDS = 0.03, 12
"""Deviation of a slope, in logarithms, from which it counts less and less; rounds of weighting by it."""
_DARK, _BRIGHT, _FLOOR = 8, 250, 4.0
"""Levels beyond which a pixel says nothing; levels added before the logarithm."""
_FINE, _PATCH = 2.0, 6
"""Blur of what texture is the rest over, and of the amount of texture around each place, in pixels."""
_TEXTURE, _PATCHES = 0.45, 12
"""Least amount of texture, in levels, and least number of places that show it."""
_VARIES = (0.08, 0.27)
"""Standard deviation of a light in logarithms: what is less does not matter, what is more is not light but things."""
_APART = 0.6
"""Largest standard deviation of the difference of both halves, as a share of that of their mean."""
_FOLLOWS, _SURE = (0.4, 2.0), 0.15
"""How texture must grow with the light, as a power of it, and the largest error of that power."""
_EVEN = 0.45
"""Least share of the light's change that each colour must have."""
_MOST = 0.7
"""Largest change of a colour, in logarithms."""
_LEAST = 0.01
"""Smallest change of a colour, in logarithms, that is worth the trouble."""


@dataclass(frozen=True, eq=False)
class Light:
    """The light of a picture, told twice."""

    size: tuple[int, int]
    """(H, W) of the picture."""
    halves: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(terms, 3) each: coefficients of the logarithm of the light, from either half of the squares."""

    def change(self, motion: Matrix) -> Map | None:
        """The factor on the colours (H, W, 3) of what a motion brings to each place; None where none is worth it."""
        first, second = (self._moved(half, motion) for half in self.halves)
        told = (first + second) / 2
        # Where the halves differ by as much as they say, half of it is believed.
        change = told**3 / np.maximum(told**2 + (first - second) ** 2, 1e-9)
        if np.abs(change).max() < _LEAST:
            return None
        large = enlarged(change.astype(np.float32), self.size)
        return np.asarray(np.exp(np.clip(large, -_MOST, _MOST)), np.float32)

    def _moved(self, coefficients: NDArray[np.float64], motion: Matrix) -> NDArray[np.float64]:
        """How much brighter, in logarithms, each place (h, w, 3) of a small picture is than where its pixel was."""
        h, w = _small(self.size)
        scale = self.size[1] / w
        y, x = (np.mgrid[:h, :w] + 0.5) * scale - 0.5
        (a, b, c), (d, e, f) = np.linalg.inv(np.vstack([np.array(motion), [0, 0, 1]]))[:2]
        was = np.clip(a * x + b * y + c, 0, self.size[1] - 1), np.clip(d * x + e * y + f, 0, self.size[0] - 1)
        return (_terms(x, y, self.size) - _terms(*was, self.size)) @ coefficients


def light_of(image: Pixels, hidden: Mask) -> Light | None:
    """The light of a picture (H, W, 3), told by all but what is hidden (H, W); None if it tells of none that varies."""
    size = (hidden.shape[0], hidden.shape[1])
    h, w = _small(size)
    small = reduced(image, (h, w)).astype(np.float32)
    known = ~reduced_mask(hidden, (h, w), 0.0) & (small.min(axis=2) > _DARK) & (small.max(axis=2) < _BRIGHT)
    y, x = (np.mgrid[:h, :w] + 0.5) * (size[1] / w) - 0.5
    terms, logarithm = _terms(x, y, size), np.log(small + _FLOOR)
    rows, columns = np.indices(known.shape) // _SQUARE
    even = (rows + columns) % 2 == 0
    halves = [_fitted(terms, logarithm, known, part) for part in (even, ~even)]
    if halves[0] is None or halves[1] is None:
        return None
    light = Light(size, (halves[0], halves[1]))
    field = (terms @ (halves[0] + halves[1]) / 2).astype(np.float32)
    apart = (terms @ (halves[0] - halves[1])).std(axis=(0, 1)).max()
    agreed = _VARIES[0] < field.mean(axis=2).std() < _VARIES[1] and apart < _APART * field.std(axis=(0, 1)).max()
    return light if agreed and _is_even(field) and _followed(image, hidden, field.mean(axis=2)) else None


def _small(size: tuple[int, int]) -> tuple[int, int]:
    return scaled(size, min(1.0, _SIDE / min(size)))


def _terms(x: NDArray[np.float64], y: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The terms (..., n) of the polynomial at pixels, without the constant."""
    unit = min(size)
    x, y = (x - size[1] / 2) / unit, (y - size[0] / 2) / unit
    powers = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i) if i + j]
    return np.stack([x**i * y**j for i, j in powers], axis=-1)


def _fitted(terms: NDArray[np.float64], logarithm: Map, known: Mask, part: Mask) -> NDArray[np.float64] | None:
    """Coefficients (n, 3) of the light whose slopes most of the picture's agree with; None if too few are known."""
    slopes, changes = [], []
    for step in _STEPS:
        for here, there in _pairs(step):
            seen = known[here] & known[there] & part[here]
            slopes.append((terms[there] - terms[here])[seen])
            changes.append((logarithm[there] - logarithm[here])[seen])
    a, b = np.concatenate(slopes), np.concatenate(changes)
    if len(a) < _PATCHES * terms.shape[-1]:
        return None
    return np.stack([_reweighted(a, b[:, channel], _agreeing, 1e-7 * len(a)) for channel in range(3)], axis=-1)


def _pairs(step: int) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Where slopes to the right and down begin and end."""
    every, first, last = slice(None), slice(None, -step), slice(step, None)
    return [((every, first), (every, last)), ((first, every), (last, every))]


def _agreeing(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of slopes by their errors (Geman and McClure): one that is far off counts for nothing."""
    return 1 / (1 + (errors / _TYPICAL) ** 2) ** 2


def _reweighted(
    a: NDArray[np.float64],
    b: NDArray[np.floating[Any]],
    weigh: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ridge: float,
) -> NDArray[np.float64]:
    """The solution (n) of a x = b by least squares, where each row weighs what its error in the last round says."""
    weight, found = np.ones(len(a)), np.zeros(a.shape[1])
    for _ in range(_ROUNDS):
        weighted = a * weight[:, None]
        found = np.linalg.solve(weighted.T @ a + ridge * np.eye(a.shape[1]), weighted.T @ b)
        weight = weigh(b - a @ found)
    return np.asarray(found, np.float64)


def _is_even(field: Map) -> bool:
    """Whether all colours of a light (h, w, 3), in logarithms, change together, as they seldom do in paint."""
    apart = field - field.mean(axis=(0, 1))
    mean = apart.mean(axis=2, keepdims=True)
    shares = (apart * mean).sum(axis=(0, 1)) / max(float((mean**2).sum()), 1e-9)
    return bool(shares.min() > _EVEN)


def _followed(image: Pixels, hidden: Mask, field: Map) -> bool:
    """Whether the picture's texture varies with the light (h, w), in logarithms."""
    size = (2 * field.shape[0], 2 * field.shape[1])
    grey = reduced(image, size).astype(np.float32).mean(axis=2)
    seen = (~reduced_mask(hidden, size, 0.0)).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), _FINE)) * seen
    share = cv2.GaussianBlur(seen, (0, 0), _PATCH)
    amount = cv2.GaussianBlur(fine, (0, 0), _PATCH) / np.maximum(share, 1e-3)
    places = (slice(None, None, _PATCH),) * 2
    clear = share[places] > 0.6
    amounts = amount[places][clear]
    lights = enlarged(field, size)[places][clear]
    if len(amounts) < _PATCHES or np.median(amounts) < _TEXTURE:
        return False
    power, error = _power(lights, np.log(amounts + 0.3))
    return bool(_FOLLOWS[0] < power < _FOLLOWS[1] and error < _SURE)


def _power(lights: NDArray[np.float32], amounts: NDArray[np.float32]) -> tuple[float, float]:
    """The slope, in the mean of sizes of deviations, of one logarithm over another, and its error."""
    a = np.stack([np.ones_like(lights), lights], axis=-1).astype(np.float64)
    found = _reweighted(a, amounts, lambda errors: 1 / np.maximum(np.abs(errors), 0.05), 1e-9)
    deviation = 1.5 * float(np.median(np.abs(amounts - a @ found)))
    return float(found[1]), deviation / (np.sqrt(len(a)) * max(float(lights.std()), 1e-6))
