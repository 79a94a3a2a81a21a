"""Dragging accuracy index (DAI) of GoodDrag: how similar the patch at the target is to that at the handle before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dragflow.bench.metrics.pixels import nearest_pixel
from dragflow.core.arrays import Pixels, Point

RADII = (1, 5, 10, 20)
"""The radii at which it is reported."""


def dai(source: Pixels, edit: Pixels, begin: Sequence[Point], target: Sequence[Point], radius: int) -> float:
    """Squared difference of square patches, summed over channels, mean over their pixels and over the points.

    Colours run from -1 to 1. If the border cuts off either patch, only what is left of both counts.

    Args:
        source: (H, W, 3); the patch around the handle is taken from it.
        edit: (H, W, 3); the patch around the target is taken from it.
        begin: handles, rounded to pixels.
        target: where they should be, rounded to pixels.
        radius: gamma; patches have 1 + 2 gamma pixels a side.

    Returns:
        NaN when there are no points.
    """
    pairs = list(zip(begin, target, strict=True))
    return float(np.mean([_patch_error(source, edit, b, t, radius) for b, t in pairs])) if pairs else math.nan


def _patch_error(source: Pixels, edit: Pixels, begin: Point, target: Point, radius: int) -> float:
    h, w = source.shape[:2]
    (bx, by), (tx, ty) = nearest_pixel(begin, (h, w)), nearest_pixel(target, (h, w))
    left, up = min(radius, bx, tx), min(radius, by, ty)
    right, down = min(radius, w - 1 - bx, w - 1 - tx), min(radius, h - 1 - by, h - 1 - ty)
    before = source[by - up : by + down + 1, bx - left : bx + right + 1].astype(float)
    after = edit[ty - up : ty + down + 1, tx - left : tx + right + 1].astype(float)
    return float((((before - after) / 127.5) ** 2).sum(axis=-1).mean())
