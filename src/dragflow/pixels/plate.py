"""The background plate: a picture with a hole filled from itself, without any model.

Two predictions, each in a file of `dragflow.pixels.fill`: the edges at the rim carried on, and copies of what repeats
in the picture (bricks, stripes, tiles). How far copies are trusted over edges is measured: parts of the ring around the
hole are hidden, both predict them, and copies get the weight that would have been best there. Edges are always trusted
over a membrane: on photographs, weights of the two measured in the ring did worse than edges alone.
"""

from __future__ import annotations

import math

import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.pixels import masks
from dragflow.pixels.fill.copies import copied, repeats, ring_of
from dragflow.pixels.fill.edges import READINGS, continued
from dragflow.pixels.fill.membrane import fitted, shrunk
from dragflow.pixels.fill.rim import with_blurred_rim
from dragflow.pixels.reduced import fitting, resampled

_LARGEST, _SEARCHED, _TRIAL = 1_000_000, 200_000, 66_000
"""Most pixels of the picture that is filled, in which copies are searched for, and in which trust is measured; what is
finer comes from the rim alone."""
_AROUND, _LEAST_AROUND = 1.0, 64
"""Of a larger picture, what is looked at around the hole: in square roots of its area, and in pixels at least."""
_SECTORS = 2
"""Parts of the ring that are hidden at a time; as many between them are seen."""
_NOISE = 1.0
"""Grey levels by which predictions differ anyway."""
_CERTAIN, _WORTH = 0.95, 0.3
"""Weight from which copies are fully trusted, and below which none are made."""


def background_plate(image: Pixels, hole: Mask, *, coarse: bool = False) -> Pixels:
    """The picture (H, W, 3) with the hole (H, W) filled from its surroundings; so is its rim, if that is blurred.

    Args:
        image: the picture.
        hole: what is to be filled.
        coarse: without copies, and without measuring: the smooth part of the result in a fraction of the time.
    """
    if not hole.any():
        return image.copy()
    if hole.size > _LARGEST:
        window = masks.window(hole, max(_LEAST_AROUND, round(_AROUND * math.sqrt(hole.sum()))))
        if hole[window].size < hole.size:  # what is far away costs time, and the hole its detail
            result = image.copy()
            result[window] = background_plate(image[window], hole[window], coarse=coarse)
            return result
    values = image.astype(np.float32)
    if hole.all():
        return np.full_like(image, 128)
    grown = with_blurred_rim(values, hole)
    hole = hole if grown.all() else grown  # a thin strip of background is all that is known
    small, empty = _reduced(values, hole, _LARGEST)
    filled = continued(small, empty, READINGS[:1]) if coarse else _filled(small, empty)
    if small is not values:
        filled = fitted(resampled(filled, (hole.shape[0], hole.shape[1])), values, hole)
    return np.where(hole[..., None], np.rint(np.clip(filled, 0, 255)), image).astype(np.uint8)


def _filled(image: Map, hole: Mask) -> Map:
    base = continued(image, hole)
    trust = _trust_in_copies(*_reduced(image, hole, _TRIAL))
    if trust < _WORTH:
        return base
    small, empty = _reduced(image, hole, _SEARCHED)
    smooth = base if small is image else resampled(base, (empty.shape[0], empty.shape[1]))
    gain = copied(small, empty, repeats(small, empty, ring_of(empty)), smooth) - smooth
    return base + trust * (gain if small is image else resampled(gain, (hole.shape[0], hole.shape[1])))


def _reduced(image: Map, hole: Mask, pixels: int) -> tuple[Map, Mask]:
    """The picture and its hole with at most so many pixels."""
    return (image, hole) if hole.size <= pixels else shrunk(image, hole, fitting(hole.shape, pixels), 0.25)


def _trust_in_copies(image: Map, hole: Mask) -> float:
    """The weight, from 0 to 1, of copies that would have been best where parts of the ring were hidden."""
    ring = ring_of(hole)
    if not hole.any() or (hole | ring).all():
        return 0.0
    x, y = masks.centroid(hole)
    rows, columns = np.indices(hole.shape)
    even = np.floor(np.arctan2(rows - y, columns - x) * _SECTORS / math.pi) % 2 == 0
    # Copies are judged by the worse half: a match by chance seldom comes twice.
    certain = min(_best_weight(image, hole, ring, ring & half) for half in (even, ~even) if (ring & half).any())
    return min(1.0, certain / _CERTAIN)


def _best_weight(image: Map, hole: Mask, ring: Mask, hidden: Mask) -> float:
    """The weight of copies in the mean with edges that errs least at a part of the ring which neither of them sees."""
    hole = hole | hidden
    shifts = repeats(image, hole, ring & ~hidden)
    if not shifts:
        return 0.0
    edges = continued(image, hole, READINGS[:1])
    change, error = (copied(image, hole, shifts, edges) - edges)[hidden], (edges - image)[hidden]
    best = -float((change * error).sum()) / (float((change**2).sum()) + _NOISE**2 * change.size)
    return min(1.0, max(0.0, best))
