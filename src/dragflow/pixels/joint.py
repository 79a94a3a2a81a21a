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

from dragflow.core.arrays import Mask, Pixels
from dragflow.pixels import masks

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


def joint_points(image: Pixels, region: Mask, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (n, 2) of the rim of a region (H, W) of a picture (H, W, 3) are at a joint; (n)."""
    width = max(2, round(min(_WIDTH[0] * min(region.shape), _WIDTH[1] * math.sqrt(region.sum()))))
    depth = masks.depth(region)
    inside, ring = depth > _RIM, (depth < -_RIM) & (depth >= -_RIM - width)
    if inside.sum() < _NEAREST or not ring.any():
        return np.zeros(len(points), np.bool_)
    soft = np.asarray(cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.0), cv2.COLOR_RGB2LAB), np.float64)
    outside = soft[ring]
    to_region = KDTree(_some(soft[inside], _INSIDE)).query(outside, k=_NEAREST)[0].mean(axis=1)
    apart = np.linalg.norm(outside[:, None] - _some(outside, _OUTSIDE)[None], axis=2)
    to_others = np.quantile(apart, _MOST, axis=1)
    alike = np.zeros(region.shape, np.float32)
    alike[ring] = _NEARER * to_region + _ALIKE < to_others
    side = 2 * math.ceil(_RIM + width) + 1
    share = cv2.blur(alike, (side, side)) / np.maximum(cv2.blur(ring.astype(np.float32), (side, side)), 1e-6)
    x, y = np.rint(points).astype(np.intp).T
    return np.asarray(share[y, x] > 0.5)


def _some(colours: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return colours[:: math.ceil(len(colours) / count)]
