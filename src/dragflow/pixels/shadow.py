"""The shadow that a region casts on what is behind it: detected, removed, and cast again where the region goes.

The picture around the region is compared with a background plate made without those surroundings. Their ratio is taken
for a shadow only if it looks like the region's own silhouette, displaced and blurred: then it goes with the region. Any
other darkness (texture, another object, a shadow on another plane) fails that test and stays where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import scipy  # its signal module is loaded when it is first used
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.pixels import masks
from dragflow.pixels.plate import background_plate, membrane

_PIXELS = 65_536
"""A shadow is soft: it is searched for at this size at most."""
_RIM = 2
_REACH, _BLUR, _SOFT = 0.11, 0.008, 0.015
"""How far from the region a shadow is searched for, the blur that hides texture, and the softness of the silhouette, as
shares of the picture's smaller side."""
_LIKENESS, _EVEN = 0.82, 0.4
"""Correlation with the displaced silhouette from which darkness counts as a shadow, and the least share of the darkest
colour channel's darkening that the others must have."""
_INSIDE = 0.7
"""Share of the reach within which the best shift must be."""
_FAINTEST, _DARKEST = 0.08, 0.25
"""Darkening below which there is no shadow, and the least light that a shadow leaves."""
_FLOOR = 10.0
"""Grey levels added to both sides of the ratio, so that black next to black does not count as a shadow."""


@dataclass(frozen=True, eq=False)
class Shadow:
    """A shadow in pixels of the picture."""

    light: NDArray[np.float32]
    """(H, W): the factor on colours, 1 where there is no shadow."""
    offset: tuple[float, float]
    """(dx, dy) from the region to its shadow."""

    def moved(self, motion: Matrix) -> NDArray[np.float32]:
        """The factor on colours once the region has moved: its shadow turns and grows with it but keeps its offset."""
        # The light comes from where it came from before: the motion is applied where the region is, not at the shadow.
        dx, dy = self.offset
        back: Matrix = ((1.0, 0.0, -dx), (0.0, 1.0, -dy))
        forth: Matrix = ((1.0, 0.0, dx), (0.0, 1.0, dy))
        matrix = np.array(compose(forth, compose(motion, back)), dtype=np.float64)
        h, w = self.light.shape
        return np.asarray(cv2.warpAffine(self.light, matrix, (w, h), borderValue=1.0), dtype=np.float32)


def find_shadow(image: Pixels, region: Mask) -> Shadow | None:
    """The shadow of a region (H, W) of a picture (H, W, 3); None if it casts none that can be recognised."""
    h, w = region.shape
    shrink = min(1.0, math.sqrt(_PIXELS / (h * w)))
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    shadow = _detect(small, np.asarray(cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_AREA)) > 0.5)
    if shadow is None:
        return None
    light = np.asarray(cv2.resize(shadow.light, (w, h), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return Shadow(light, (shadow.offset[0] * w / size[0], shadow.offset[1] * h / size[1]))


def _detect(image: Pixels, region: Mask) -> Shadow | None:
    unit = min(region.shape)
    reach = max(2, round(_REACH * unit))
    core, wide = masks.dilate(region, _RIM), masks.dilate(region, reach)
    around = wide & ~core
    if not region.any() or wide.all() or not around.any():
        return None
    # The hole of the plate holds the shadow too: the plate is filled from beyond it, as if there were none.
    plate = background_plate(image, wide)
    dark = _darkness(image, plate, around, _BLUR * unit)
    silhouette = np.asarray(cv2.GaussianBlur(region.astype(np.float32), (0, 0), _SOFT * unit), dtype=np.float32)
    likeness, strength, (dx, dy) = _displaced(silhouette, dark, around, reach)
    # A best shift near the end of the search is not a shadow's: darkness that extends beyond is something else.
    if likeness < _LIKENESS or strength < _FAINTEST or max(abs(dx), abs(dy)) > _INSIDE * reach:
        return None
    h, w = region.shape
    # A shadow takes light from all colours; a thing of another colour darkens some and not others.
    channels = [_darkness(image[..., c, None], plate[..., c, None], around, _BLUR * unit) for c in range(3)]
    darkening = [float((dark * channel).sum()) for channel in channels]
    if min(darkening) < _EVEN * max(darkening):
        return None
    shift = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float64)
    near = np.asarray(cv2.warpAffine(masks.dilate(region, _RIM + 1).astype(np.float32), shift, (w, h)))
    near = np.asarray(cv2.GaussianBlur(near, (0, 0), _SOFT * unit))
    # Only the darkness that the silhouette explains belongs to the shadow; under the region it is continued smoothly.
    dark = dark * np.minimum(1.0, 4 * near)
    dark = membrane(np.repeat(dark[..., None], 3, axis=2), core)[..., 0]
    light = np.asarray(1 - np.minimum(dark, 1 - _DARKEST), dtype=np.float32)
    return Shadow(light, (float(dx), float(dy)))


def _darkness(image: Pixels, plate: Pixels, where: Mask, sigma: float) -> Map:
    """How much darker (0 to 1) the picture is than the plate, texture blurred away; 0 outside of `where`."""
    weight = where.astype(np.float32)
    shaded, clear = (
        np.asarray(cv2.GaussianBlur((p.mean(axis=2) + _FLOOR).astype(np.float32) * weight, (0, 0), sigma))
        for p in (image, plate)
    )
    return np.clip(1 - shaded / np.maximum(clear, 1e-3), 0, 1) * where


def _displaced(silhouette: Map, dark: Map, where: Mask, reach: int) -> tuple[float, float, tuple[int, int]]:
    """Likeness of darkness and silhouette under the best shift, the darkening there, and the shift (dx, dy)."""
    h, w = dark.shape
    # Darkness is known only around the region: the silhouette counts where it is displaced to there. With that norm
    # match / power is the factor by which the silhouette fits the darkness best, in the least squares.
    match = scipy.signal.correlate(dark, silhouette, method="fft")
    power = np.maximum(scipy.signal.correlate(where.astype(np.float32), silhouette**2, method="fft"), 1e-3)
    likeness = match / np.sqrt(power * max(float((dark**2).sum()), 1e-6))
    dy, dx = (np.abs(np.arange(2 * n - 1) - (n - 1)) for n in (h, w))
    likeness[(dy[:, None] > reach) | (dx[None] > reach)] = -1
    y, x = (int(i) for i in np.unravel_index(int(likeness.argmax()), likeness.shape))
    return float(likeness[y, x]), float(match[y, x] / power[y, x]), (x - (w - 1), y - (h - 1))
