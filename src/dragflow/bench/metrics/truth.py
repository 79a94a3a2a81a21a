"""Measures of an edited picture against its true target; pure functions of pixels (H, W, 3) and masks (H, W).

PSNR and SSIM (Wang et al. 2004) inside a mask; landing, angle and ratio error by matching the true object, cut out by
its mask, against the picture under many shifts, turns and scalings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.motion import Matrix, about, rotation
from dragflow.pixels import masks

_K1, _K2, _SIGMA = 0.01, 0.03, 1.5
"""SSIM's constants, and the width of its Gaussian window."""
_ANGLES = (5.0, 0.5)
"""Coarse and fine step of the search, in degrees."""
_RATIOS = (math.log(1.08), math.log(1.01))
"""Coarse and fine step of the search, as logarithms of the factor."""
_RIM = 2
"""Pixels around the object matched with it: without its outline a smaller copy would fit inside a larger one."""
_VISIBLE = 0.6
"""Share of the object that must stay in the picture for a turn or a scaling to be tried."""


def psnr(image: Pixels, truth: Pixels, where: Mask) -> float:
    """Peak signal-to-noise ratio in dB inside a mask; NaN where the mask is empty."""
    if not where.any():
        return math.nan
    error = float(((image.astype(float) - truth.astype(float)) ** 2)[where].mean())
    return 10 * math.log10(255**2 / max(error, 1e-10))


def ssim(image: Pixels, truth: Pixels, where: Mask) -> float:
    """Mean structural similarity of the luminance inside a mask, window 11 x 11; NaN where the mask is empty."""
    if not where.any():
        return math.nan
    x, y = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), dtype=np.float64) for p in (image, truth))
    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), _SIGMA, borderType=cv2.BORDER_REFLECT), dtype=np.float64)

    mx, my = local(x), local(y)
    vx, vy, cov = local(x * x) - mx * mx, local(y * y) - my * my, local(x * y) - mx * my
    similarity = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(similarity[where].mean())


def landing_error(image: Pixels, truth: Pixels, target: Mask) -> float:
    """Distance in pixels from where the object should be to its best masked match anywhere in the picture."""
    target = masks.dilate(target, _RIM)
    ys, xs = np.nonzero(target)
    top, left = int(ys.min()), int(xs.min())
    box = (slice(top, int(ys.max()) + 1), slice(left, int(xs.max()) + 1))
    mask = np.repeat(target[box][..., None], 3, axis=2).astype(np.float32)
    match = cv2.matchTemplate(image.astype(np.float32), truth[box].astype(np.float32), cv2.TM_SQDIFF, mask=mask)
    y, x = np.unravel_index(int(np.nanargmin(match)), match.shape)
    return math.hypot(float(x) - left, float(y) - top)


def angle_error(image: Pixels, truth: Pixels, target: Mask, anchor: Point) -> float:
    """Degrees by which the object is turned from where it should be: best match under all turns about the anchor."""
    coarse, fine = _ANGLES

    def turned(degrees: float) -> Matrix:
        return about(anchor, rotation(math.radians(degrees)))

    first = _best(np.arange(-180 + coarse, 180 + coarse, coarse), turned, image, truth, target)
    return abs(_best(np.arange(first - coarse, first + coarse + fine, fine), turned, image, truth, target))


def ratio_error(image: Pixels, truth: Pixels, target: Mask, anchor: Point) -> float:
    """Error of the object's size, 0.1 = 10 %: best match under all scalings about the anchor."""
    coarse, fine = _RATIOS

    def scaled(logarithm: float) -> Matrix:
        factor = math.exp(logarithm)
        return about(anchor, ((factor, 0.0), (0.0, factor)))

    first = _best(coarse * np.arange(-9, 10), scaled, image, truth, target)
    return abs(
        math.exp(_best(np.arange(first - coarse, first + coarse + fine, fine), scaled, image, truth, target)) - 1
    )


def _best(
    values: Iterable[float], motion: Callable[[float], Matrix], image: Pixels, truth: Pixels, target: Mask
) -> float:
    """The value whose motion of the true object matches the picture best; among equals the smallest in magnitude."""
    target = masks.dilate(target, _RIM)
    h, w = target.shape
    errors: list[tuple[float, float, float]] = []
    for value in values:
        matrix = np.array(motion(float(value)))
        moved = cv2.warpAffine(target.astype(np.float32), matrix, (w, h)) > 0.5
        growth = abs(float(np.linalg.det(matrix[:, :2])))
        if moved.sum() < _VISIBLE * growth * target.sum():
            continue
        shown = np.asarray(cv2.warpAffine(truth, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE))
        error = float(((shown[moved].astype(float) - image[moved].astype(float)) ** 2).mean())
        errors.append((error, abs(float(value)), float(value)))
    return min(errors)[2] if errors else math.nan
