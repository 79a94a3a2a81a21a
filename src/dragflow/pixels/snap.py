"""Snapping a carelessly painted region to the edge of its object, where one is near.

GrabCut (Rother, Kolmogorov, Blake 2004) separates the two sides within a tolerance of the painted rim. What it finds is
taken only if the rim then runs along a clearly stronger edge, and nearly all of it along one: a region inside of an
object, or the handle of a deformation, stays as it was painted.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.pixels import masks
from dragflow.pixels.attachment import unstepped

_PIXELS = 65_536
"""The region and its surroundings are looked at at this size at most."""
_TOLERANCE = 1 / 40
"""How far the painted rim may be from the object's in one pass, as a share of the picture's shorter side."""
_PASSES, _ROUNDS, _AROUND = 3, 3, 4
"""Passes of GrabCut, each from where the last one ended; its iterations; and tolerances of background around."""
_CARELESS = 1.5
"""Pixels that the rim must have been off the edge, in the mean: what is less is within the width of a soft rim."""
_STRONGER, _LEAST = 1.15, 6.0
"""How much stronger the edge must be at the new rim, and its least strength, in grey levels per pixel."""
_WITHOUT = 0.14
"""Largest share of the new rim that may have no coarse edge (see `attachment`): more, and it is not an object's."""
_SQUARE = np.ones((3, 3), np.uint8)


def snapped(image: Pixels, region: Mask, barred: Mask | None = None) -> Mask:
    """The region (H, W) of a picture (H, W, 3), moved to its object's edge wherever that is near.

    Args:
        image: the picture.
        region: as it was painted.
        barred: (H, W), pixels that it must not get.
    """
    tolerance = max(2.0, _TOLERANCE * min(region.shape))
    window = masks.window(region, math.ceil((_PASSES + _AROUND) * tolerance))
    painted = region[window]
    h, w = painted.shape
    shrink = min(1.0, math.sqrt(_PIXELS / (h * w)))
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    small = np.asarray(cv2.resize(image[window], size, interpolation=cv2.INTER_AREA), np.uint8)
    before = np.asarray(cv2.resize(painted.astype(np.float32), size, interpolation=cv2.INTER_AREA)) > 0.5
    after = _fitted(small, before, max(2, round(tolerance * shrink)))
    if not _is_better(small, before, after):
        return region
    # Only what changed is taken from the smaller size: elsewhere the rim stays as it was painted.
    changed = np.asarray(cv2.resize((after ^ before).astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)) > 0
    smooth = np.asarray(cv2.resize(after.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)) > 0.5
    result = region.copy()
    result[window] = np.where(masks.dilate(changed, math.ceil(1 / shrink) - 1), smooth, painted)
    if barred is not None:
        result &= region | ~barred
    return result if result.any() and unstepped(image, result) <= _WITHOUT else region


def _fitted(image: Pixels, region: Mask, reach: int) -> Mask:
    """The region after a few passes of GrabCut, joined to what is certainly inside."""
    core = _core(region, reach)
    current = region
    for _ in range(_PASSES):
        wide = masks.dilate(current, reach)
        labels = np.select([core, current, wide], [cv2.GC_FGD, cv2.GC_PR_FGD, cv2.GC_PR_BGD], cv2.GC_BGD).astype(
            np.uint8
        )
        if wide.all() or not core.any():
            return region
        cv2.setRNGSeed(0)  # it begins by clustering the colours at random
        unused = (0, 0, 1, 1)  # a rectangle in place of the labels
        cv2.grabCut(image, labels, unused, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
        pieces, _ = masks.components((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
        current = np.isin(pieces, np.unique(pieces[core]))
    return current


def _core(region: Mask, reach: int) -> Mask:
    """What is inside for certain: deeper than the reach, or in a piece that is thin half as deep as it gets."""
    depth = masks.depth(region)
    pieces, count = masks.components(region)
    deepest = np.zeros(count + 1, np.float32)
    np.maximum.at(deepest, pieces.ravel(), depth.ravel())
    return region & (depth >= np.minimum(reach, deepest / 2)[pieces])


def _is_better(image: Pixels, before: Mask, after: Mask) -> bool:
    """Whether the rim was off, and the edge is clearly stronger where it is now."""
    strength, old, new = _edges(image), _rim(before), _rim(after)
    if (before ^ after).sum() < _CARELESS * old.sum() / 2:
        return False
    there, here = (float(strength[rim].mean()) if rim.any() else 0.0 for rim in (new & ~old, old & ~new))
    return there > max(_STRONGER * here, _LEAST)


def _rim(region: Mask) -> Mask:
    """Pixels on both sides of the rim."""
    level = region.astype(np.uint8)
    return (cv2.dilate(level, _SQUARE) > 0) & (cv2.erode(level, _SQUARE) == 0)


def _edges(image: Pixels) -> Map:
    """Strength of the edge at every pixel: the gradient of the strongest channel, in grey levels per pixel."""
    soft = cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.float32)
    along, down = (cv2.Scharr(soft, cv2.CV_32F, dx, 1 - dx) / 32 for dx in (1, 0))
    return np.hypot(along, down).max(axis=2)
