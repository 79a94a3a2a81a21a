"""Pictures and masks at a smaller size, where a rough look is enough; and what was found there at the full size.

Sizes are (h, w). Pictures and masks are reduced by the mean of the area that a pixel covers.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels

Size = tuple[int, int]


def shrinkage(size: tuple[int, ...], pixels: int) -> float:
    """The factor on the sides of a picture that leaves at most so many pixels of it; 1 if it has no more."""
    return min(1.0, math.sqrt(pixels / (size[0] * size[1])))


def scaled(size: tuple[int, ...], factor: float, least: int = 1) -> Size:
    """A size times a factor, with at least so many pixels a side."""
    return max(least, round(size[0] * factor)), max(least, round(size[1] * factor))


def fitting(size: tuple[int, ...], pixels: int) -> Size:
    """The size at which a picture has at most so many pixels; its own if it has no more."""
    return scaled(size, shrinkage(size, pixels))


def reduced(image: Pixels, size: Size) -> Pixels:
    """A picture (H, W, 3) at a smaller size."""
    return np.ascontiguousarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def reduced_mask(mask: Mask, size: Size, share: float = 0.5) -> Mask:
    """The pixels of a smaller size of which the mask (H, W) covers more than a share."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)) > share


def enlarged(values: Map, size: Size) -> Map:
    """Values (h, w) or (h, w, C) at a larger size, interpolated linearly."""
    return np.asarray(cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def enlarged_mask(mask: Mask, size: Size) -> Mask:
    """A mask (h, w) at a larger size, with a smooth rim."""
    return enlarged(mask.astype(np.float32), size) > 0.5


def nearest_mask(mask: Mask, size: Size) -> Mask:
    """A mask (h, w) at another size, each pixel as the nearest one was."""
    return np.asarray(cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)) > 0


def resampled(values: Map, size: Size) -> Map:
    """Values (H, W, C) at another size: interpolated cubically if it is larger, as means if it is smaller."""
    smaller = size[0] * size[1] < values.shape[0] * values.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(values, size[::-1], interpolation=way), np.float32)
