"""Snapping a carelessly painted region to the edge of its object, where one is near.

GrabCut separates the two sides within a tolerance of the painted rim (`dragflow.pixels.colours`). What it learns
depends on where it starts, so it starts twice: from all that is within the tolerance, and from what differs there from
the surroundings. The result that has the fewest colours in common with what is beside it counts, if the rim then runs
along a clearly stronger edge, or the colours tell the sides apart that they did not before, and if nearly all of the
rim is along an edge: a region inside of an object, or the handle of a deformation, stays as it was painted.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.pixels import masks
from dragflow.pixels.attachment import differing, unstepped
from dragflow.pixels.colours import Palette, as_lab, separated
from dragflow.pixels.matte import rim_shares
from dragflow.pixels.reduced import enlarged_mask, nearest_mask, reduced, reduced_mask, scaled, shrinkage

_PIXELS = 32_768
"""The region and its surroundings are looked at at this size at most."""
_TOLERANCE = 1 / 40
"""How far the painted rim may be from the object's in one pass, as a share of the picture's shorter side."""
_PASSES, _ROUNDS, _AROUND = 3, 2, 4
"""Passes, each from where the last one ended; iterations of GrabCut in each; and tolerances of background around."""
_BIN, _BESIDE = 20, 8
"""Grey levels of a channel that count as one colour; pixels around a region whose colours are compared with its own."""
_CARELESS = 1.2
"""Pixels that the rim must have been off the edge, in the mean: what is less is within the width of a soft rim."""
_KEPT, _GAINED = 0.44, 0.15
"""Share of the painted rim that may be within a pixel of the new one where more than such a share of the region
changes: whoever paints as much of it exactly means the rest too, as where a part ends inside of its object."""
_STRONGER, _LEAST = 1.15, 6.0
"""How much stronger the edge must be at the new rim, and its least strength, in grey levels per pixel."""
_TOLD = 1 / 3
"""What must be left of the share of colours in common that the painted region had, for colours to have told more."""
_WITHOUT, _APART = (0.14, 0.3), 0.15
"""Largest share of the new rim that may have no coarse edge (see `attachment`): more, and it is not an object's; the
second where so small a share of the colours is in common with what is beside it."""
_FEWEST, _LEFT = 24, 0.2
"""Pixels, and share of the painted region, that must be left of it: a few pixels have no colour in common by chance."""
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
    size = (painted.shape[0], painted.shape[1])
    shrink = shrinkage(size, _PIXELS)
    small, before = reduced(image[window], scaled(size, shrink)), reduced_mask(painted, scaled(size, shrink))
    after = _fitted(small, before, max(2, round(tolerance * shrink)))
    common = _in_common(small, after)
    if not _is_better(small, before, after, common):
        return region
    # Only what changed is taken from the smaller size: elsewhere the rim stays as it was painted.
    changed = masks.dilate(nearest_mask(after ^ before, size), math.ceil(1 / shrink) - 1)
    found = np.where(changed, enlarged_mask(after, size), painted)
    result = region.copy()
    result[window] = found if shrink == 1 else _unmixed(image[window], found, 1 / shrink)
    if barred is not None:
        result &= region | ~barred
    if result.sum() < max(_FEWEST, _LEFT * region.sum()):
        return region
    return result if unstepped(image, result) <= _WITHOUT[common <= _APART] else region


def _fitted(image: Pixels, region: Mask, reach: int) -> Mask:
    """The best of what is found in a few passes, each from where the last one ended."""
    found = [region]
    for _ in range(_PASSES):
        found.append(_found(image, found[-1], reach))
        if np.array_equal(found[-1], found[-2]) or _is_careful(region, found[-1]):
            break
    return min(found[1:], key=lambda mask: _in_common(image, mask))


def _found(image: Pixels, region: Mask, reach: int) -> Mask:
    """The better one of what GrabCut finds from two starts."""
    core, wide = _core(region, reach), masks.dilate(region, reach)
    if wide.all() or not core.any():
        return region
    starts = wide, differing(image, wide)
    return min((_cut(image, core, wide, start) for start in starts), key=lambda mask: _in_common(image, mask))


def _cut(image: Pixels, core: Mask, wide: Mask, start: Mask) -> Mask:
    """What has the colours of the start, within `wide` and joined to the core, which is inside for certain."""
    pieces, _ = masks.components(separated(image, start, wide, _ROUNDS, core))
    return _unmixed(image, np.isin(pieces, np.unique(pieces[core])), 1.0)


def _unmixed(image: Pixels, region: Mask, scale: float) -> Mask:
    """The region with the mixed pixels at its rim on the side that they have more of, which GrabCut does not ask."""
    return rim_shares(image.astype(np.float32), region, scale)[0] > 0.5


def _in_common(image: Pixels, mask: Mask) -> float:
    """Share of the colours inside that are beside it too."""
    return Palette.of(as_lab(image), _BIN).in_common(mask, masks.dilate(mask, _BESIDE) & ~mask)


def _core(region: Mask, reach: int) -> Mask:
    """What is inside for certain: deeper than the reach, or in a piece that is thin half as deep as it gets."""
    depth = masks.depth(region)
    pieces, count = masks.components(region)
    deepest = np.zeros(count + 1, np.float32)
    np.maximum.at(deepest, pieces.ravel(), depth.ravel())
    return region & (depth >= np.minimum(reach, deepest / 2)[pieces])


def _is_better(image: Pixels, before: Mask, after: Mask, common: float) -> bool:
    """Whether the rim was off, and the sides are told apart more clearly where it is now, by its edge or by colours."""
    if _is_careful(before, after):
        return False
    strength, old, new = _edges(image), _rim(before), _rim(after)
    there, here = (float(strength[rim].mean()) if rim.any() else 0.0 for rim in (new & ~old, old & ~new))
    stronger = there > _STRONGER * here or common < _TOLD * _in_common(image, before)
    return stronger and there > _LEAST


def _is_careful(before: Mask, after: Mask) -> bool:
    """Whether a region was painted where its object's edge is, or up to a cut through the object."""
    changed = (before ^ after).sum()
    if changed < _CARELESS * _rim(before).sum() / 2:
        return True
    first, second = (mask & masks.dilate(~mask, 1) for mask in (before, after))
    kept = (first & masks.dilate(second, 1)).sum()
    return bool(changed > _GAINED * before.sum() and kept > _KEPT * first.sum())


def _rim(region: Mask) -> Mask:
    """Pixels on both sides of the rim."""
    level = region.astype(np.uint8)
    return (cv2.dilate(level, _SQUARE) > 0) & (cv2.erode(level, _SQUARE) == 0)


def _edges(image: Pixels) -> Map:
    """Strength of the edge at every pixel: the gradient of the strongest channel, in grey levels per pixel."""
    soft = cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.float32)
    along, down = (cv2.Scharr(soft, cv2.CV_32F, dx, 1 - dx) / 32 for dx in (1, 0))
    return np.hypot(along, down).max(axis=2)
