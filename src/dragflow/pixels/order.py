"""Order: what stands where a region goes, so that the region can pass behind it.

The colours of what stands there are those that are more frequent at the target than around it, learned in turns: what
has such colours and reaches into the target is put aside, and what is left tells the background more clearly. What is
joined to the surroundings without an edge is background, whatever its colour. GrabCut then draws the edge
(`dragflow.pixels.colours`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.errors import UserError
from dragflow.core.task import Operation, Region, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.colours import Palette, as_lab, separated
from dragflow.pixels.junctions import is_behind
from dragflow.pixels.reduced import enlarged_mask, fitting, reduced, reduced_mask

_PIXELS = 32_768
"""The target and its surroundings are looked at at this size at most."""
_AROUND, _LEAST_AROUND = 0.6, 8
"""What is looked at around the target, in square roots of its area, and in pixels at least."""
_BIN, _SPREAD = 16, 0.7
"""Levels of a channel of Lab that count as one colour, and the blur over such colours."""
_ODDS, _SMOOTH = 0.4, 1.5
"""Logarithm of how much more frequent a colour is at the target, and the blur of that in pixels."""
_TURNS, _ROUNDS = 3, 3
"""In which colours are learned; iterations of GrabCut."""
_STEP, _BACKGROUND = 4.0, 0.2
"""Levels of Lab from one pixel to the next that make an edge, and the share of the surroundings from which what has
none in it is background."""
_LARGE, _GAP, _COMMON, _MIXED = 0.1, 0.6, 0.15, 2
"""Least size of what is guessed to be in front, as a share of the region's; the largest shares of it that may be within
the region's convex hull, and of its colours that may be elsewhere around both; and the pixels beside them that may be
mixed."""
_MOST, _BORDER, _LEAST = 0.8, 0.3, 0.02
"""Share of the target, and of the border of what is looked at, above which it is not a thing, and share of the target
below which a piece of it does not count."""


def ordered(
    image: Pixels, asked: Sequence[Operation], operations: Sequence[ResolvedOperation]
) -> tuple[ResolvedOperation, ...]:
    """The operations, each with what stays in front of it.

    Raises:
        UserError: nothing is found to be in front, or all of a region would be hidden; the text names the operation.
    """
    gone = np.logical_or.reduce([one.mask for one in operations if one.leaves] or [np.zeros(image.shape[:2], np.bool_)])
    return tuple(
        replace(one, front=_front(image, operation.behind, one, gone, f"operation {i}"))
        for i, (operation, one) in enumerate(zip(asked, operations, strict=True))
    )


def _front(
    image: Pixels, behind: Region | bool | None, operation: ResolvedOperation, gone: Mask, name: str
) -> Mask | None:
    moves = operation.is_cut and operation.lands
    if behind is False or (behind is None and not moves):
        return None
    if not operation.lands:
        raise UserError(f"{name} removes its region, which then passes behind nothing: leave out what it is behind")
    if not moves:
        raise UserError(
            f"{name} stretches what it is a part of, and cannot pass behind something: give it the label relocation, "
            "or nothing that it is behind"
        )
    target = masks.warp_mask(operation.mask, operation.matrix())
    if not target.any():  # which is an error of the motion
        return None
    if behind is None:
        return _guessed(image, operation.mask, target, gone)
    if behind is True:
        found = _things(image, target, gone, operation.mask)
    else:
        size = (target.shape[0], target.shape[1])
        found = masks.rasterise(behind, size, f"{name}: what it is behind") & ~gone
    if found is None:
        raise UserError(
            f"{name}: nothing that could stay in front is told from the background where it goes: say what it is "
            "behind by a region"
        )
    if not (target & ~found).any():
        raise UserError(f"{name}: all of the region would be hidden by what it is behind: choose another target")
    return found if (found & target).any() else None


def _guessed(image: Pixels, region: Mask, target: Mask, gone: Mask) -> Mask | None:
    """What stands at the target and is in front of the region where that is now; None if nothing is."""
    found = _things(image, target, gone, region)
    if found is None:
        return None
    pieces, count = masks.components(found)
    front = np.isin(
        pieces, [i for i in range(1, count + 1) if _is_apart(pieces == i, region) and is_behind(region, pieces == i)]
    )
    return front if (front & target).any() and (target & ~front).any() else None


def _things(image: Pixels, target: Mask, gone: Mask, region: Mask) -> Mask | None:
    """What stands at the target and is not a tile of a pattern; None if nothing is."""
    found = standing_at(image, target, gone)
    if found is None:
        return None
    pieces, count = masks.components(found)
    things = np.isin(pieces, [i for i in range(1, count + 1) if _is_alone(image, pieces == i, region)])
    return things if (things & target).any() else None


def _is_apart(piece: Mask, region: Mask) -> bool:
    """Whether a piece is large beside the region and not one of its gaps."""
    corners = cv2.convexHull(np.argwhere(region)[:, ::-1].astype(np.int32))
    hull = cv2.fillConvexPoly(np.zeros(region.shape, np.uint8), corners, 1) > 0
    return bool(piece.sum() >= _LARGE * region.sum() and (piece & hull).sum() <= _GAP * piece.sum())


def _is_alone(image: Pixels, piece: Mask, region: Mask) -> bool:
    """Whether a piece has colours of its own, which are not around it and the region as those of a tile are."""
    window = masks.window(piece | region, _LEAST_AROUND)
    rest = ~masks.dilate(piece[window] | region[window], _MIXED)
    return bool(rest.any()) and Palette.of(as_lab(image[window]), _BIN).in_common(piece[window], rest) < _COMMON


def standing_at(image: Pixels, target: Mask, gone: Mask) -> Mask | None:
    """The things (H, W) that reach into a target (H, W) of a picture; None if none is told from its background.

    Args:
        image: the picture (H, W, 3).
        target: where a region goes.
        gone: (H, W), regions that leave their places: what is there now does not count.
    """
    window = masks.window(target, max(_LEAST_AROUND, round(_AROUND * float(np.sqrt(target.sum())))))
    h, w = target[window].shape
    size = fitting((h, w), _PIXELS)
    there, lost = reduced_mask(target[window], size), reduced_mask(gone[window], size, 0.0)
    found = _found(reduced(image[window], size), there & ~lost, ~there & ~lost)
    if found is None or (found & there).sum() > _MOST * there.sum():
        return None
    result = np.zeros_like(target)
    result[window] = enlarged_mask(found, (h, w)) & ~gone[window]
    return result if (result & target).any() else None


def _found(image: Pixels, there: Mask, around: Mask) -> Mask | None:
    """The things that reach into `there` (h, w), by what is around it."""
    if not there.any() or not around.any():
        return None
    known = there | around
    lab = as_lab(np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8))
    ground = _joined(lab, known, around)
    start = _unlike(lab, there, around, known & ~ground)
    if not start.any():
        return None
    apart = separated(image, start, known & ~ground, _ROUNDS)
    found = _reaching(apart, there, round(_LEAST * there.sum()))
    border = np.ones(found.shape, np.bool_)
    border[1:-1, 1:-1] = False
    return found if found.any() and (found & border).sum() <= _BORDER * border.sum() else None


def _joined(lab: Pixels, known: Mask, around: Mask) -> Mask:
    """What is joined to much of the surroundings without an edge."""
    steps = np.zeros(known.shape, np.float32)
    values = lab.astype(np.float32)
    for axis in (0, 1):
        step = np.abs(np.diff(values, axis=axis)).max(axis=2)
        rest = steps[1:] if axis == 0 else steps[:, 1:]
        np.maximum(rest, step, out=rest)
    pieces, count = masks.components((steps < _STEP) & known)
    sizes = np.bincount(pieces[around], minlength=count + 1)
    sizes[0] = 0
    return np.isin(pieces, np.flatnonzero(sizes > _BACKGROUND * around.sum()))


def _unlike(lab: Pixels, there: Mask, around: Mask, allowed: Mask) -> Mask:
    """What is allowed, reaches into `there`, and has colours that are more frequent there than elsewhere."""
    palette = Palette.of(lab, _BIN)

    def frequency(where: Mask) -> NDArray[np.float32]:
        counts = palette.counts(where).reshape((palette.levels,) * 3)
        spread = ndimage.gaussian_filter(counts.astype(np.float32), _SPREAD)
        return np.asarray((spread / max(float(spread.sum()), 1.0)).ravel()[palette.numbers] + 1e-5, np.float32)

    thing, ground = there, around
    found = np.zeros_like(there)
    for _ in range(_TURNS):
        odds = np.log(frequency(thing) / frequency(ground)).astype(np.float32)
        likely = (np.asarray(cv2.GaussianBlur(odds, (0, 0), _SMOOTH)) > _ODDS) & allowed
        opened = cv2.morphologyEx(likely.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
        found = _reaching(opened, there, 1)
        thing, ground = found & there, (there | around) & ~found
        if not thing.any() or not ground.any():
            break
    return found


def _reaching(mask: Mask, there: Mask, least: int) -> Mask:
    """The connected pieces of a mask that have so many pixels in `there`."""
    pieces, count = masks.components(mask)
    inside = np.bincount(pieces[there], minlength=count + 1)
    inside[0] = 0
    return np.isin(pieces, np.flatnonzero(inside >= max(1, least)))
