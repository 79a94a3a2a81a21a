"""The blurred rim of a region: pixels beside it that still hold some of its colours, and leave with it."""

from __future__ import annotations

import numpy as np

from dragflow.core.arrays import Map, Mask
from dragflow.pixels import masks
from dragflow.pixels.colours import means

_RIM = 2
"""Pixels beside a region that its blurred edge may cover."""
_REACH = 4
"""Width in pixels of the bands whose colours are compared."""
_EDGE = 1.7
"""How many times the change beside the rim a change across it must be, for the region to end at an edge."""
_LEVEL = 1.0
"""Change in grey levels that is always usual."""


def with_blurred_rim(image: Map, hole: Mask) -> Mask:
    """The hole (H, W), not empty, grown by its blurred rim if the picture (H, W, 3) has an edge there.

    Where colours change no more across the rim than over the same distance beside it, nothing is carried outwards, and
    the pixels of the rim are the best that is known about the hole. On 44 random holes of photographs the change across
    was 0.25 to 2.2 times the change beside (median 0.9), around 40 objects of the world 3 to 83 times.
    """
    window = masks.window(hole, 3 * _REACH)
    result = hole.copy()
    result[window] = _grown(image[window], hole[window])
    return result


def _grown(image: Map, hole: Mask) -> Mask:
    grown = masks.dilate(hole, _RIM)
    near = masks.dilate(grown, _REACH)
    inner, middle, outer = hole & masks.dilate(~hole, _REACH), near & ~grown, masks.dilate(near, _REACH) & ~near
    if not outer.any():
        return grown
    across = np.median(_change(image, inner, middle)[grown & ~hole])
    beside = np.median(_change(image, middle, outer)[middle])
    return grown if across > _EDGE * (beside + _LEVEL) else hole


def _change(image: Map, first: Mask, second: Mask) -> Map:
    """Distance (H, W) between the mean colours of two sets of pixels nearby."""
    one, other = (means(image, side, _REACH) for side in (first, second))
    return np.sqrt(((one - other) ** 2).mean(axis=-1))
