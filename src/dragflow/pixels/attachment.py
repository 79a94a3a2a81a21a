"""Whether a region belongs to what is around it: does its rim run along an object's edge, or through the object?

Both tests of the rim compare what is inside with what is outside. The fine one, pixel against pixel, finds a short
joint of an exactly painted part, but takes texture for edges. The coarse one, band against band and less the spread of
each, ignores texture, and looks a little inside and outside of the rim too, as few people paint along an edge exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.motion import Label
from dragflow.pixels import masks
from dragflow.pixels.colours import means
from dragflow.pixels.fill.membrane import membrane
from dragflow.pixels.joint import joint_points
from dragflow.pixels.reduced import fitting, nearest_mask, reduced, reduced_mask

_PIXELS = 65_536
"""A rim is looked at at this size at most."""
_EDGE = 20.0
"""Grey levels, in the strongest channel, that make an edge."""
_EMPTY = 1.0
"""Standard deviation in grey levels under which there is nothing to see that a region could be part of."""
_JOINT, _EXACT = 0.055, 0.25
"""Share of the rim without a fine edge from which a region may be a part, and up to which it was painted exactly."""
_RUN = 0.02
"""Share of the rim that a joint takes in one piece."""
_CLEAR = 0.3
"""Share of the rim without a coarse edge up to which that may be so."""
_PART = 0.2
"""Share of the rim without a coarse edge from which a region is a part, however it was painted."""
_CARELESS = 1 / 32
"""How far from the rim a coarse edge may be, as a share of the picture's shorter side."""
_BAND = (0.02, 0.12)
"""Width of the bands that are compared: at most these shares of the shorter side, and of the region's own."""
_SPREAD = 0.5
"""How many standard deviations of the bands are taken off the difference of their means."""

_FILLED, _FAINT, _CUT = 0.2, 0.1, 0.03
"""Of an object that a region is painted around: its least share of the region, and how much of its own rim may be
without an edge, anywhere and near the region's rim, where more would mean that the region cuts through it."""
_NEAR = 3
"""Pixels from the region's rim."""

Points = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Attachment:
    """How a region belongs to what is around it."""

    label: Label
    """`deformation` for a part of something, `relocation` for a whole object."""
    joint: Mask | None
    """(H, W): where an exactly painted part is joined to the rest. None: no such place was found, so that a region that
    is said to be a part is taken to be joined all around."""


def attachment(image: Pixels, region: Mask) -> Attachment:
    """What the rim of a region (H, W) of a picture (H, W, 3) says."""
    size = (region.shape[0], region.shape[1])
    image, small = _reduced(image, region)
    if not small.any() or small.all() or image[masks.dilate(small, 2)].std(axis=0).max() < _EMPTY:
        return Attachment("relocation", None)
    points, normals = rim(small)
    fine = smooth(image, small, points, normals)
    if fine.mean() < _JOINT:
        return Attachment("relocation", None)
    coarse = float(_without_step(image, small, points).mean())
    if fine.mean() > _EXACT or coarse > _CLEAR:
        part = coarse >= _PART and not _encloses(image, small)
        return Attachment("deformation" if part else "relocation", None)
    alike = joint_points(image, small, points)
    if not alike.any():
        return Attachment("relocation", None)
    joint, share = _longest(points[alike], small.shape, len(points))
    if share < _RUN:
        return Attachment("relocation", None)
    return Attachment("deformation", nearest_mask(joint, size))


def _encloses(image: Pixels, region: Mask) -> bool:
    """Whether a region is painted all around an object, in a wide curve that runs through its background.

    What the surroundings would fill the region with is that background; what differs most from it is the object. It is
    whole if its own rim has edges nearly everywhere, and above all where it comes near the rim of the region.
    """
    apart = differing(image, region).astype(np.uint8)
    labels, count = masks.components(cv2.morphologyEx(apart, cv2.MORPH_CLOSE, np.ones((3, 3))) > 0)
    if not count:
        return False
    largest = labels == np.bincount(labels[labels > 0]).argmax()
    contours, _ = cv2.findContours(largest.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thing = cv2.drawContours(np.zeros(region.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0
    points, normals = rim(thing)
    faint = smooth(image, thing, points, normals)
    x, y = np.rint(points).astype(np.intp).T
    cut = faint & (masks.depth(region)[y, x] <= _NEAR)
    return bool(thing.sum() > _FILLED * region.sum() and faint.mean() < _FAINT and cut.mean() < _CUT)


def differing(image: Pixels, region: Mask) -> Mask:
    """What differs most, in a region (H, W) of a picture (H, W, 3), from what its surroundings would fill it with."""
    colours = image.astype(np.float32)
    differs = np.clip(np.abs(colours - membrane(colours, region)).max(axis=2), 0, 255).astype(np.uint8)
    apart, _ = cv2.threshold(differs[region], 0, 255, cv2.THRESH_OTSU)
    return region & (differs > max(apart, _EDGE))


def unstepped(image: Pixels, region: Mask) -> float:
    """Share of the rim of a region (H, W) of a picture (H, W, 3) that has no coarse edge near it."""
    image, small = _reduced(image, region)
    return float(_without_step(image, small, rim(small)[0]).mean()) if small.any() and not small.all() else 1.0


def _reduced(image: Pixels, region: Mask) -> tuple[Pixels, Mask]:
    size = fitting(region.shape, _PIXELS)
    return reduced(image, size), reduced_mask(region, size)


def rim(region: Mask) -> tuple[Points, Points]:
    """Points (n, 2) along the outlines of a region, and the unit normals there, to either side."""
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = [np.asarray(contour)[:, 0].astype(np.float64) for contour in contours]
    tangents = [np.roll(piece, -_step(piece), 0) - np.roll(piece, _step(piece), 0) for piece in pieces]
    tangent = np.concatenate(tangents)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    return np.concatenate(pieces), tangent[:, ::-1] * (1.0, -1.0)


def smooth(image: Pixels, region: Mask, points: Points, normals: Points) -> Flags:
    """Points of the rim (n) at which the picture goes on without a fine edge."""
    reach = max(2.0, 0.008 * min(region.shape))
    sides = points + reach * normals, points - reach * normals
    known = _inside(sides[0], region.shape) & _inside(sides[1], region.shape)
    return known & (np.abs(_sample(image, sides[0]) - _sample(image, sides[1])).max(axis=1) < _EDGE)


def _without_step(image: Pixels, region: Mask, points: Points) -> Flags:
    """Points of the rim (n) that have no coarse edge near them."""
    side, own = min(region.shape), math.sqrt(region.sum())
    band, far = max(3.0, min(_BAND[0] * side, _BAND[1] * own)), _CARELESS * side
    margin = math.ceil(2 * far + 3 * band)
    window = masks.window(region, margin)
    colours = image[window].astype(np.float32)
    both = np.concatenate([colours, colours**2], axis=2)
    depth = masks.depth(region[window])
    x, y = np.rint(points - (window[1].start, window[0].start)).astype(np.intp).T
    stepped = np.zeros(len(points), np.bool_)
    for offset in (-far, -far / 2, 0.0, far / 2, far):
        if offset > 0 and offset + band > depth.max():
            continue  # the region has no such inside
        sigma = band + abs(offset)
        within = means(both, (depth > offset) & (depth <= offset + band + 0.5), sigma)[y, x]
        beyond = means(both, (depth < offset) & (depth >= offset - band - 0.5), sigma)[y, x]
        spread = np.sqrt(np.maximum(within[:, 3:] - within[:, :3] ** 2 + beyond[:, 3:] - beyond[:, :3] ** 2, 0) / 2)
        stepped |= (np.abs(within[:, :3] - beyond[:, :3]) - _SPREAD * spread).max(axis=1) > _EDGE
    return ~stepped


def _longest(points: Points, size: tuple[int, ...], count: int) -> tuple[Mask, float]:
    """The longest run of points of a rim, drawn on a picture of `size` (h, w), and its share of all `count` points."""
    marked = np.zeros(size, np.bool_)
    x, y = np.rint(points).astype(np.intp).T
    marked[y, x] = True
    labels, _ = masks.components(masks.dilate(marked, 1))
    counts = np.bincount(labels[y, x])
    best = int(counts.argmax())
    return labels == best, float(counts[best] / count)


def _step(piece: Points) -> int:
    """Points of an outline over which its direction is measured."""
    return max(1, min(8, len(piece) // 20))


def _inside(points: Points, size: tuple[int, ...]) -> Flags:
    at = np.rint(points)
    return (at >= 0).all(axis=1) & (at[:, 0] < size[1]) & (at[:, 1] < size[0])


def _sample(image: Pixels, points: Points) -> Points:
    x, y = np.rint(points).astype(np.intp).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)].astype(np.float64)
