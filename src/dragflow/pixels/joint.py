"""Where a region is joined to what it is a part of: its colours go on beyond its rim there, and there alone.

An object stands before something else nearly all around; what it belongs to is seen at a short piece of its rim, and
looks like the object there. So a place just outside of the rim is taken for a piece of a joint if its colour is much
nearer to colours of the region than to those of most other places outside.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.pixels import masks
from dragflow.pixels.colours import as_lab

_WIDTH = (0.02, 0.12)
"""Width of the ring that is looked at: at most these shares of the picture's shorter side, and of the region's own."""
_RIM = 1.5
"""Pixels on both sides of the rim whose colours may be mixed."""
_INSIDE, _OUTSIDE, _NEAREST = 800, 400, 5
"""Pixels inside and outside that stand for all, and how many of the nearest colours inside are compared with."""
_MOST = 0.25
"""A colour is as far from the outside as from the nearest quarter of it."""
_NEARER, _ALIKE = 2.0, 4.0
"""How much nearer the inside must be: this many times, and units of CIELAB in 8 bits besides."""
_DARKEST = 0.55
"""Share of the light that a shadow leaves at least."""


def joint_points(image: Pixels, region: Mask, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (n, 2) of the rim of a region (H, W) of a picture (H, W, 3) are at a joint; (n)."""
    width = max(2, round(min(_WIDTH[0] * min(region.shape), _WIDTH[1] * math.sqrt(region.sum()))))
    depth = masks.depth(region)
    inside, ring = depth > _RIM, (depth < -_RIM) & (depth >= -_RIM - width)
    if inside.sum() < _NEAREST or not ring.any():
        return np.zeros(len(points), np.bool_)
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)
    outside = soft[ring]
    to_region = KDTree(_lab(_some(soft[inside], _INSIDE))).query(_lab(outside), k=_NEAREST)[0].mean(axis=1)
    to_others = np.quantile(_apart(outside, _some(outside, _OUTSIDE)), _MOST, axis=1)
    alike = np.zeros(region.shape, np.float32)
    alike[ring] = _NEARER * to_region + _ALIKE < to_others
    side = 2 * math.ceil(_RIM + width) + 1
    share = cv2.blur(alike, (side, side)) / np.maximum(cv2.blur(ring.astype(np.float32), (side, side)), 1e-6)
    x, y = np.rint(points).astype(np.intp).T
    return np.asarray(share[y, x] > 0.5)


def _apart(colours: Map, others: Map) -> Map:
    """Distances (n, m) of colours (n, 3) to others (m, 3), each in the light or in shadow: a shadow is not a joint."""
    light = np.clip(colours @ others.T / np.maximum((others**2).sum(axis=1), 1.0), _DARKEST, 1.0)
    return np.linalg.norm(_lab(colours)[:, None] - _lab(light[..., None] * others), axis=-1)


def _lab(colours: Map) -> Map:
    """RGB in 8 bits (..., 3) as CIELAB in 8 bits."""
    flat = np.rint(colours).astype(np.uint8).reshape(1, -1, 3)
    return as_lab(flat).astype(np.float32).reshape(colours.shape)


def _some(colours: Map, count: int) -> Map:
    return colours[:: math.ceil(len(colours) / count)]
