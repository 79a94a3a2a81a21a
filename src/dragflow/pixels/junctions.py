"""Which of two things that touch is in front: its outline goes on past the places where the outlines meet.

Where the outline of what is behind ends at that of what is in front, the three edges make a T: its bar is one smooth
outline, its stem another one that has a corner there. The two ends of the contact are looked at, on both outlines.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask
from dragflow.pixels.reduced import fitting, reduced_mask

_PIXELS = 65_536
"""Outlines are looked at at this size at most."""
_NEAR, _GAP, _RUN = 3, 5, 5
"""Pixels between outlines that touch; the longest gap that does not end a contact, and a contact's least length."""
_CONTACT = (0.06, 0.7)
"""Share of the outline that is in contact: less is chance, more is one thing inside of the other."""
_ARM, _AROUND = 6, 4
"""Pixels over which an outline's direction is measured, and around a meeting in which it turns."""
_BORDER = 3
"""Pixels from the picture's border in which outlines say nothing."""
_CORNER = 30.0
"""Degrees by which the outline of what is behind turns more than that of what is in front, in the mean."""

Outline = NDArray[np.float64]


def is_behind(region: Mask, other: Mask) -> bool:
    """Whether a region (H, W) touches another one (H, W) and is behind it, as far as their outlines tell."""
    h, w = size = fitting(region.shape, _PIXELS)
    region, other = (reduced_mask(mask, size) for mask in (region, other))
    own, others = _outline(region), _outline(other)
    if min(len(own), len(others)) < 3 * _ARM:
        return False
    turns = [
        _turn(own, at) - _turn(others, int(np.argmin(((others - own[at]) ** 2).sum(axis=1))))
        for at in _ends(_touching(own, other))
        if _BORDER <= own[at][0] < w - _BORDER and _BORDER <= own[at][1] < h - _BORDER
    ]
    return bool(turns) and float(np.mean(turns)) > _CORNER


def _outline(mask: Mask) -> Outline:
    """Points (n, 2) along the longest outline."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(found, key=len), np.float64)[:, 0] if found else np.zeros((0, 2))


def _touching(outline: Outline, other: Mask) -> NDArray[np.bool_]:
    """Which points (n) of an outline touch another region; none if that is too few or too many of them."""
    distance = np.asarray(cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5))
    x, y = outline.astype(np.intp).T
    near = distance[y, x] <= _NEAR
    if not _CONTACT[0] <= near.mean() <= _CONTACT[1]:
        return np.zeros(len(outline), np.bool_)
    around = np.tile(near.astype(np.uint8), 3)[None]  # an outline has no beginning
    closed = cv2.morphologyEx(around, cv2.MORPH_CLOSE, np.ones((1, 2 * _GAP + 1), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((1, _RUN), np.uint8))
    return opened[0, len(outline) : 2 * len(outline)] > 0


def _ends(touching: NDArray[np.bool_]) -> list[int]:
    """Where the contact begins and ends."""
    return np.flatnonzero(touching != np.roll(touching, 1)).tolist()


def _turn(outline: Outline, at: int) -> float:
    """The largest turn of an outline near a point of it, in degrees."""
    middle = at + np.arange(-_AROUND, _AROUND + 1)
    here, before, after = (outline[(middle + step) % len(outline)] for step in (0, -_ARM, _ARM))
    first, second = here - before, after - here
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return float(np.degrees(np.abs(np.arctan2(cross, (first * second).sum(axis=1)))).max())
