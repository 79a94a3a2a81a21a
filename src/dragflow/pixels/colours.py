"""Colours of a picture: their means nearby, in CIELAB, how frequent each of them is, and what they separate.

What separates two sides by their colours is GrabCut (Rother, Kolmogorov, Blake 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels


def means(values: Map, weight: NDArray[np.generic], sigma: float, least: float = 1e-4) -> Map:
    """Means of values (H, W, C) nearby, weighted by pixel (H, W); they fade where weights are under `least`."""
    weight = weight.astype(np.float32)
    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), least)
    sums = np.asarray(cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma))
    return np.asarray(sums.reshape(values.shape) / total[..., None], np.float32)


def as_lab(image: Pixels) -> Pixels:
    """A picture (H, W, 3) in CIELAB, in 8 bits."""
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of a picture, of which those that are close count as one."""

    numbers: NDArray[np.intp]
    """(H, W): which colour each pixel has."""
    levels: int
    """Of each channel; there are as many colours as the cube of this."""

    @classmethod
    def of(cls, lab: Pixels, width: int) -> Palette:
        """The palette of a picture (H, W, 3) in which so many levels of a channel count as one."""
        levels = 255 // width + 1
        return cls(((lab // width).astype(np.intp) * (levels**2, levels, 1)).sum(axis=2), levels)

    def counts(self, where: Mask) -> NDArray[np.intp]:
        """How many pixels of a mask (H, W) have each colour."""
        return np.bincount(self.numbers[where], minlength=self.levels**3)

    def shares(self, where: Mask) -> NDArray[np.float64]:
        """The share of the pixels of a mask (H, W) that has each colour."""
        return self.counts(where) / max(1, int(where.sum()))

    def in_common(self, first: Mask, second: Mask) -> float:
        """The share of their colours, 0 to 1, that two masks (H, W) have in common."""
        return float(np.minimum(self.shares(first), self.shares(second)).sum())


def separated(image: Pixels, start: Mask, undecided: Mask, rounds: int, certain: Mask | None = None) -> Mask:
    """What has the colours of one side of a picture rather than those of the other (GrabCut), (H, W).

    Args:
        image: (H, W, 3), in whichever space colours are to be compared.
        start: what is inside to begin with, as far as it is undecided.
        undecided: what may be inside; everything else is outside.
        rounds: in which the colours of both sides are learned.
        certain: what is inside in any case.
    """
    labels = np.where(undecided, np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD), cv2.GC_BGD).astype(np.uint8)
    if certain is not None:
        labels[certain] = cv2.GC_FGD
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if inside.all():  # there is no other side to learn
        return inside
    cv2.setRNGSeed(0)  # it begins by clustering the colours at random: equal pictures give equal masks
    unused = (0, 0, 1, 1)  # a rectangle in place of the labels
    cv2.grabCut(image, labels, unused, np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
