"""The smoothest fill: Laplace's equation in the hole, with the colours at its rim as boundary values."""

from __future__ import annotations

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask
from dragflow.pixels import masks
from dragflow.pixels.reduced import Size, enlarged

_SWEEPS = 16
"""Relaxations on every level of the membrane; few, because the coarser level already brought the smooth part."""


def shrunk(image: Map, hole: Mask, size: Size, least: float) -> tuple[Map, Mask]:
    """The picture at a smaller size (h, w), and its hole: cells with at most this share of known pixels.

    A cell has the mean of its known pixels, so nothing of what fills the hole now gets into it. If no cell has more
    than that share, any known pixel will do.
    """
    known = (~hole).astype(np.float32)
    weight = np.asarray(cv2.resize(known, size[::-1], interpolation=cv2.INTER_AREA))
    sums = np.asarray(cv2.resize(image * known[..., None], size[::-1], interpolation=cv2.INTER_AREA))
    means = sums.reshape(*weight.shape, -1) / np.maximum(weight, 1e-6)[..., None]
    empty = weight <= least
    return means.astype(np.float32), weight <= 0 if empty.all() else empty


def membrane(image: Map, hole: Mask) -> Map:
    """Values (H, W, C) with the hole (H, W) filled by the solution of Laplace's equation, coarse to fine."""
    if not hole.any():
        return image
    h, w = hole.shape
    # The coarse hole is where nothing is known: it shrinks with every level, and the recursion ends when it is gone.
    coarse = membrane(*shrunk(image, hole, ((h + 1) // 2, (w + 1) // 2), 0.0))
    guess = enlarged(coarse, (h, w)).reshape(image.shape)
    result = np.where(hole[..., None], guess, image)
    cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], dtype=np.float32)
    for _ in range(_SWEEPS):
        mean = np.asarray(cv2.filter2D(result, -1, cross, borderType=cv2.BORDER_REPLICATE)).reshape(image.shape)
        result = np.where(hole[..., None], mean, image)
    return result


def fitted(guess: Map, image: Map, hole: Mask) -> Map:
    """A guess at the whole picture, corrected so that it meets the known pixels at the rim of the hole.

    Its error at the rim is spread over the hole by a membrane (Poisson cloning, Perez et al. 2003).
    """
    window = masks.window(hole, 1)
    inside = hole[window][..., None]
    error = np.where(inside, 0, image[window] - guess[window])
    result = image.copy()
    result[window] = np.where(inside, guess[window] + membrane(error, hole[window]), image[window])
    return result
