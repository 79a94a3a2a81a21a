"""What several metrics need of pixels: the pixel of a point, a picture at another size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dragflow.core.arrays import Pixels, Point


def nearest_pixel(point: Point, size: tuple[int, int]) -> tuple[int, int]:
    """(x, y) of the pixel of a picture of `size` (h, w) that is nearest to a point."""
    h, w = size
    return min(max(round(point[0]), 0), w - 1), min(max(round(point[1]), 0), h - 1)


def resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture (H, W, 3) at another size (h, w), by Pillow's bicubic resampling."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
