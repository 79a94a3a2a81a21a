"""The fill that repeats the picture: copies from where the surroundings of the hole look the same.

The shifts are peaks of one normalised correlation (after "Statistics of Patch Offsets for Image Completion", He and
Sun, ECCV 2012); every copy is fitted to the rim by a membrane of its own, and the result is their median.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask
from dragflow.pixels import masks
from dragflow.pixels.correlation import correlate
from dragflow.pixels.fill.membrane import membrane

_RING, _SMOOTH = 0.055, 0.04
"""Width of the surroundings compared, and of the blur that separates detail, in shares of the smaller side."""
_COPIES, _PEAK = 6, 2
"""Most copies, and the distance in pixels that their shifts must keep: a peak's neighbours are the same repetition."""
_AGREEMENT, _NEARLY_BEST = 0.3, 0.9
"""Correlation from which a copy is better than none, and the share of the best one's that the others must reach."""
_COVERS, _NEED = 0.5, 0.1
"""Share of the hole that a copy must cover, and the correlation given up to cover parts that few copies cover."""


@dataclass(frozen=True)
class Shift:
    """A copy: pixel (x, y) of the hole takes the value at (x + dx, y + dy)."""

    dx: int
    dy: int
    agreement: float
    """Correlation of the surroundings with what the shift brings there, up to 1."""


def ring_of(hole: Mask) -> Mask:
    """The surroundings of a hole, which a copy must look like."""
    return masks.dilate(hole, max(2, round(_RING * min(hole.shape)))) & ~hole


def copied(image: Map, hole: Mask, shifts: list[Shift], base: Map) -> Map:
    """The hole of the picture (H, W, 3) filled with its copies under the shifts; with the base where there are none."""
    window = masks.window(hole, 1)
    inside = hole[window]
    fits: list[Map] = []
    usable: list[Mask] = []
    for shift in shifts:
        copy, known = _copy(image, hole, shift)
        # The error of each copy at the rim, spread over the hole by a membrane, makes the copy meet the rim without a
        # seam, however differently lit its origin is. The error counts as 0 where the copy is not known at the rim.
        error = np.where((known & ~hole)[..., None], image - copy, 0)[window]
        fits.append(copy[window] + membrane(error, inside) - base[window])
        usable.append(np.broadcast_to((known[window] & inside)[..., None], error.shape))
    result = base.copy()
    if fits:
        # The median leaves out, pixel by pixel, the copy that brings something else than the others: another object.
        result[window] += np.ma.filled(np.ma.median(np.ma.array(fits, mask=~np.array(usable)), axis=0), 0)
    return result


def _copy(image: Map, hole: Mask, shift: Shift) -> tuple[Map, Mask]:
    """The picture moved by the shift, and where it is known there."""
    h, w = hole.shape
    back = np.array([[1, 0, -shift.dx], [0, 1, -shift.dy]], dtype=np.float64)
    known = cv2.warpAffine((~hole).astype(np.uint8), back, (w, h), flags=cv2.INTER_NEAREST) > 0
    return np.asarray(cv2.warpAffine(image, back, (w, h), flags=cv2.INTER_NEAREST), dtype=image.dtype), known


def repeats(image: Map, hole: Mask, ring: Mask) -> list[Shift]:
    """The shifts under which the picture (H, W, 3) fits the ring around the hole best; perhaps none."""
    h, w = hole.shape
    known = (~hole).astype(np.float32)
    # Detail is the picture less its blur. The blur is over known pixels alone (divided by its weight), so that nothing
    # of what fills the hole now gets into the comparison.
    sigma = _SMOOTH * min(h, w)
    weight = np.maximum(cv2.GaussianBlur(known, (0, 0), sigma), 1e-3)[..., None]
    detail = (image - cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / weight) * known[..., None]
    if not ring.any() or float(detail[ring].var()) < 1:
        return []
    # One channel is enough, and a third of the work: the colour axis along which the surroundings vary most.
    _, axes = np.linalg.eigh(np.cov(detail[ring].T))
    agreement = _agreement(detail @ axes[:, -1].astype(np.float32), ring.astype(np.float32), known)
    agreement[_known_under(hole.astype(np.float32), known) < _COVERS] = -1
    good = agreement >= max(_AGREEMENT, _NEARLY_BEST * float(agreement.max()))
    shifts: list[Shift] = []
    count = np.zeros((h, w), np.float32)
    while len(shifts) < _COPIES and good.any():
        # A median needs several copies at every pixel of the hole: parts that few copies cover so far weigh most.
        need = hole / (1 + count) ** 2
        score = np.where(good, agreement + _NEED * _known_under(need, known), -1)
        y, x = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
        shifts.append(Shift(x - (w - 1), y - (h - 1), min(float(agreement[y, x]), 1.0)))
        count += _copy(image, hole, shifts[-1])[1]
        good[max(y - _PEAK, 0) : y + _PEAK + 1, max(x - _PEAK, 0) : x + _PEAK + 1] = False
    return shifts


def _agreement(detail: Map, ring: Map, known: Map) -> Map:
    """Normalised correlation of the ring with the picture under every shift; -1 where too little of it is known."""
    # Both norms are over the pixels that the shift makes overlap and that are known: a match at the border of the
    # picture, or next to the hole, is not worth less for the part that is missing there.
    inside = correlate(known, ring * detail**2)
    power = inside * correlate(detail**2, ring)
    match = correlate(detail, ring * detail) / np.sqrt(np.maximum(power, 1e-3))
    return np.where(_known_under(ring, known) > 0.5, match, -1)


def _known_under(weight: Map, known: Map) -> Map:
    """Share of a weight that a shift puts on known pixels."""
    return correlate(known, weight) / max(float(weight.sum()), 1e-6)
