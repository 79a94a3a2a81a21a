"""The background plate: a picture with a hole filled from itself, without any model.

Two parts. A membrane carries the colours at the rim smoothly across the hole (Laplace's equation). What repeats in
the picture (bricks, stripes, tiles) is copied from where the surroundings of the hole look the same: the shifts are
peaks of one normalised correlation (after "Statistics of Patch Offsets for Image Completion", He and Sun, ECCV 2012),
every copy is fitted to the rim by its own membrane (Poisson cloning), and their median is added in proportion to how
well the surroundings agreed. Where nothing repeats, the result is the membrane alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import scipy  # its signal module is loaded when it is first used

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.pixels import masks

_PIXELS = 200_000
"""The fill is a guess: it is made at this size at most, so that a preview is immediate."""
_RIM = 2
"""Pixels around a region that still show its blurred edge; they are filled with it."""
_RING, _SMOOTH = 0.055, 0.04
"""Width of the surroundings compared, and of the blur that separates detail, in shares of the smaller side."""
_COPIES, _PEAK = 6, 2
"""Most copies, and the distance in pixels that their shifts must keep: a peak's neighbours are the same repetition."""
_AGREEMENT, _NEARLY_BEST, _CERTAIN = 0.3, 0.9, 0.95
"""Correlation from which a copy is better than none, the share of the best one's that the others must reach, and the
correlation from which copies are fully trusted."""
_COVERS, _NEED = 0.5, 0.1
"""Share of the hole that a copy must cover, and the correlation given up to cover parts that few copies cover."""
_SWEEPS = 16
"""Relaxations on every level of the membrane; few, because the coarser level already brought the smooth part."""


@dataclass(frozen=True)
class Shift:
    """A copy: pixel (x, y) of the hole takes the value at (x + dx, y + dy)."""

    dx: int
    dy: int
    agreement: float
    """Correlation of the surroundings with what the shift brings there, up to 1."""


def background_plate(image: Pixels, hole: Mask) -> Pixels:
    """The picture (H, W, 3) with the hole (H, W), grown by its blurred rim, filled from its surroundings."""
    if not hole.any():
        return image.copy()
    hole = masks.dilate(hole, _RIM)
    if hole.all():
        return np.full_like(image, 128)
    h, w = hole.shape
    shrink = min(1.0, math.sqrt(_PIXELS / (h * w)))
    small = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    holes = np.asarray(cv2.resize(hole.astype(np.float32), small, interpolation=cv2.INTER_AREA)) > 0
    filled = _fill(np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA)).astype(np.float32), holes)
    filled = np.asarray(cv2.resize(filled, (w, h), interpolation=cv2.INTER_CUBIC))
    return np.where(hole[..., None], np.rint(np.clip(filled, 0, 255)), image).astype(np.uint8)


def _fill(image: Map, hole: Mask) -> Map:
    shifts = repeats(image, hole)
    ys, xs = np.nonzero(hole)
    window = (slice(max(ys.min() - 1, 0), ys.max() + 2), slice(max(xs.min() - 1, 0), xs.max() + 2))
    inside = hole[window]
    copies = [_copy(image, hole, shift) for shift in shifts]
    base = membrane(image[window], inside)
    result = image.copy()
    result[window] = base
    if copies:
        # The error of each copy at the rim, spread over the hole by a membrane, makes the copy meet the rim without a
        # seam, however differently lit its origin is. The error counts as 0 where the copy is not known at the rim.
        errors = [np.where((known & ~hole)[..., None], image - copy, 0)[window] for copy, known in copies]
        fitted = [copy[window] + membrane(error, inside) for (copy, _), error in zip(copies, errors, strict=True)]
        usable = [np.broadcast_to((known[window] & inside)[..., None], base.shape) for _, known in copies]
        # The median leaves out, pixel by pixel, the copy that brings something else than the others: another object.
        middle = np.ma.median(np.ma.array([each - base for each in fitted], mask=~np.array(usable)), axis=0)
        trust = min(1.0, float(np.mean([shift.agreement for shift in shifts])) / _CERTAIN)
        result[window] += trust * np.ma.filled(middle, 0)
    return result


def _copy(image: Map, hole: Mask, shift: Shift) -> tuple[Map, Mask]:
    """The picture moved by the shift, and where it is known there."""
    h, w = hole.shape
    back = np.array([[1, 0, -shift.dx], [0, 1, -shift.dy]], dtype=np.float64)
    known = cv2.warpAffine((~hole).astype(np.uint8), back, (w, h), flags=cv2.INTER_NEAREST) > 0
    return np.asarray(cv2.warpAffine(image, back, (w, h), flags=cv2.INTER_NEAREST), dtype=image.dtype), known


def repeats(image: Map, hole: Mask) -> list[Shift]:
    """The shifts under which the picture (H, W, 3) fits the surroundings of the hole best; perhaps none."""
    h, w = hole.shape
    known = (~hole).astype(np.float32)
    # Detail is the picture less its blur. The blur is over known pixels alone (divided by its weight), so that nothing
    # of what fills the hole now gets into the comparison.
    sigma = _SMOOTH * min(h, w)
    weight = np.maximum(cv2.GaussianBlur(known, (0, 0), sigma), 1e-3)[..., None]
    detail = (image - cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / weight) * known[..., None]
    ring = masks.dilate(hole, max(2, round(_RING * min(h, w)))) & ~hole
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
    inside = scipy.signal.correlate(known, ring * detail**2, method="fft")
    power = inside * scipy.signal.correlate(detail**2, ring, method="fft")
    match = scipy.signal.correlate(detail, ring * detail, method="fft") / np.sqrt(np.maximum(power, 1e-3))
    return np.where(_known_under(ring, known) > 0.5, match, -1)


def _known_under(weight: Map, known: Map) -> Map:
    """Share of a weight that a shift puts on known pixels."""
    return scipy.signal.correlate(known, weight, method="fft") / max(float(weight.sum()), 1e-6)


def membrane(image: Map, hole: Mask) -> Map:
    """Values (H, W, 3) with the hole (H, W) filled by the solution of Laplace's equation, coarse to fine."""
    if not hole.any():
        return image
    h, w = hole.shape
    half = ((w + 1) // 2, (h + 1) // 2)
    known = (~hole).astype(np.float32)
    # A coarse cell is the mean of its known pixels, and a hole only if it has none: the hole shrinks with every level,
    # and the recursion ends when it is gone.
    weight = np.asarray(cv2.resize(known, half, interpolation=cv2.INTER_AREA))
    sums = np.asarray(cv2.resize(image * known[..., None], half, interpolation=cv2.INTER_AREA))
    coarse = sums.reshape(*weight.shape, -1) / np.maximum(weight, 1e-6)[..., None]
    coarse = membrane(coarse, weight <= 0)
    guess = np.asarray(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)).reshape(image.shape)
    result = np.where(hole[..., None], guess, image)
    cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], dtype=np.float32)
    for _ in range(_SWEEPS):
        mean = np.asarray(cv2.filter2D(result, -1, cross, borderType=cv2.BORDER_REPLICATE)).reshape(image.shape)
        result = np.where(hole[..., None], mean, image)
    return result
