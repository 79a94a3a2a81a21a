"""The shadow that a region casts on what is behind it: detected, removed, and cast again where the region goes.

A drop shadow is the region's own silhouette, displaced, blurred and multiplied in. It is looked for where it shows
whatever the background holds: in the slopes of the logarithm of the picture around the region, which must follow the
slopes of the displaced silhouette (a matched filter), all along its outline and in all colours alike. Any other
darkness (texture, another object, a shadow on another plane) fails that test and stays where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix, compose
from dragflow.pixels import masks
from dragflow.pixels.correlation import correlate
from dragflow.pixels.reduced import enlarged, fitting, reduced, reduced_mask

_PIXELS = 65_536
"""A shadow is soft: it is searched for at this size at most."""
_RIM = 3
"""Pixels beside the region whose slopes are its own edge's."""
_NEAREST, _FARTHEST = 0.015, 0.085
"""Least and largest distance of a shadow from its region, as shares of the picture's smaller side."""
_MARGIN = 0.065
"""How far beyond the largest distance slopes are read, as such a share."""
_BLURS, _SMOOTH = (0.008, 0.011, 0.014, 0.018, 0.022), 0.004
"""Blurs of a shadow that are tried, and the blur that takes noise from the picture, as such shares."""
_STRENGTHS = np.arange(0.1, 0.75, 0.025)
"""Shares of the light that a shadow may take."""
_STEEPEST = 12.8
"""Largest slope of the logarithm per smaller side that counts in full: steeper ones are edges of things."""
_SHOWN = 0.35
"""Least share of the outline's slopes that must lie where they can be seen."""
_LIKENESS, _STRENGTH = 0.65, 0.12
"""Correlation of the slopes, and their factor, from which they count as a shadow's."""
_SECTORS, _CONSISTENT, _ALL_ALONG = 12, 0.4, 0.9
"""Parts of the outline; the share of the strength that each must show; and the share of the outline that must do so."""
_EVEN = 0.6
"""Least share of the most darkened colour channel's strength that the others must have."""
_FLOOR = 10.0
"""Grey levels added before the logarithm, so that noise in black does not count."""
_FAINTEST = 1 / 512
"""Coverage of the silhouette below which there is no shadow."""


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
    size = fitting((h, w), _PIXELS)
    small, seen = reduced(image, size), reduced_mask(region, size)
    shadow = _detected(small.tobytes(), np.packbits(seen).tobytes(), size)
    if shadow is None:
        return None
    dx, dy = shadow.offset
    return Shadow(enlarged(shadow.light, (h, w)), (dx * w / size[1], dy * h / size[0]))


@dataclass(frozen=True)
class _Slopes:
    """Slopes (H, W) to the right and down."""

    right: Map
    down: Map

    @classmethod
    def of(cls, values: Map) -> _Slopes:
        """Forward differences of (H, W) or (H, W, C); 0 at the last column and row."""
        right, down = np.zeros_like(values), np.zeros_like(values)
        right[:, :-1], down[:-1] = np.diff(values, axis=1), np.diff(values, axis=0)
        return cls(right, down)

    def times(self, other: _Slopes) -> Map:
        return self.right * other.right + self.down * other.down


@lru_cache(16)
def _detected(image: bytes, region: bytes, size: tuple[int, int]) -> Shadow | None:
    """What `_detect` finds, once: the editable area asks for it, and then whoever draws the preview."""
    h, w = size
    pixels = np.frombuffer(image, np.uint8).reshape(h, w, 3)
    return _detect(pixels, np.unpackbits(np.frombuffer(region, np.uint8), count=h * w).reshape(h, w) > 0)


def _detect(image: Pixels, region: Mask) -> Shadow | None:
    unit = min(region.shape)
    near = masks.dilate(region, _RIM)
    seen = masks.dilate(region, round((_FARTHEST + _MARGIN) * unit)) & ~near
    seen[:, :-1] &= ~near[:, 1:]  # a slope belongs to two pixels
    seen[:-1] &= ~near[1:]
    seen[:, -1] = seen[-1] = False
    if not region.any() or not seen.any():
        return None
    logarithm = np.log(image.astype(np.float32) + _FLOOR)
    slopes = _Slopes.of(np.asarray(cv2.GaussianBlur(logarithm, (0, 0), _SMOOTH * unit), np.float32))
    limit = _STEEPEST / unit
    clipped = _Slopes(slopes.right.clip(-limit, limit), slopes.down.clip(-limit, limit))
    likeness, blur, offset = max(_displaced(clipped, seen, region, blur) for blur in _BLURS[::2])
    if likeness < _LIKENESS or not _is_shadow(clipped, seen, region, blur, offset):
        return None
    blur, strength = _fitted(slopes, seen, region, offset)
    cover = _silhouette(region, blur * unit, offset)
    light = 1 - strength * np.where(cover > _FAINTEST, cover, 0)
    return Shadow(light.astype(np.float32), (float(offset[0]), float(offset[1])))


def _silhouette(region: Mask, sigma: float, offset: tuple[int, int] = (0, 0)) -> Map:
    h, w = region.shape
    shift = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], dtype=np.float64)
    moved = cv2.warpAffine(region.astype(np.float32), shift, (w, h))
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), sigma), dtype=np.float32)


def _template(region: Mask, blur: float, offset: tuple[int, int] = (0, 0)) -> Map:
    """The silhouette as blurred as it is in the smoothed picture."""
    return _silhouette(region, math.hypot(blur, _SMOOTH) * min(region.shape), offset)


def _displaced(slopes: _Slopes, seen: Mask, region: Mask, blur: float) -> tuple[float, float, tuple[int, int]]:
    """Correlation of the picture's slopes with the darkening silhouette's at the best offset; the blur; that offset."""
    h, w = region.shape
    reach = min(math.ceil(_FARTHEST * min(h, w)), h - 1, w - 1)

    def over(values: Map, pattern: Map) -> Map:
        """Sums of the values under the pattern at every offset."""
        sums = correlate(values, pattern)
        return np.asarray(sums[h - 1 - reach : h + reach, w - 1 - reach : w + reach])

    known = seen.astype(np.float32)
    right, down = slopes.right.mean(axis=-1) * known, slopes.down.mean(axis=-1) * known
    outline = _Slopes.of(_template(region, blur))
    steepness = outline.times(outline)
    power = over(known, steepness)
    match = -over(right, outline.right) - over(down, outline.down)
    # Only slopes under the outline count: what the picture holds elsewhere says nothing against a shadow.
    energy = over(right**2 + down**2, (steepness > 0.04 * steepness.max()).astype(np.float32))
    likeness = match / np.sqrt(np.maximum(power * energy, 1e-9))
    dy, dx = np.indices(likeness.shape) - reach
    distance = np.hypot(dx, dy) / min(h, w)
    allowed = (distance >= _NEAREST) & (distance <= _FARTHEST) & (power >= _SHOWN * float(steepness.sum()))
    likeness[~allowed] = -1
    row, column = (int(i) for i in np.unravel_index(int(likeness.argmax()), likeness.shape))
    return float(likeness[row, column]), blur, (column - reach, row - reach)


def _is_shadow(slopes: _Slopes, seen: Mask, region: Mask, blur: float, offset: tuple[int, int]) -> bool:
    """Whether the slopes are strong enough, all along the outline, and alike in all colours."""
    outline = _Slopes.of(_template(region, blur, offset))
    power = outline.times(outline)[seen]
    match = -np.stack(
        [_Slopes(slopes.right[..., c], slopes.down[..., c]).times(outline)[seen] for c in range(3)], axis=-1
    )
    strengths = match.sum(axis=0) / max(float(power.sum()), 1e-9)
    x, y = masks.centroid(region)
    rows, columns = np.nonzero(seen)
    turn = np.arctan2(rows - y - offset[1], columns - x - offset[0]) / (2 * math.pi) % 1
    sector = np.minimum((turn * _SECTORS).astype(int), _SECTORS - 1)
    powers = np.bincount(sector, power, _SECTORS)
    matches = np.bincount(sector, match.mean(axis=-1), _SECTORS)
    strength = float(strengths.mean())
    along = powers[matches > _CONSISTENT * strength * powers].sum()
    even = strengths.min() >= _EVEN * strengths.max()
    return bool(strength > _STRENGTH and along > _ALL_ALONG * powers.sum() and even)


def _fitted(slopes: _Slopes, seen: Mask, region: Mask, offset: tuple[int, int]) -> tuple[float, float]:
    """The blur and the strength that leave the least slopes, in the mean of their sizes: steep edges weigh little."""
    right, down = slopes.right.mean(axis=-1)[seen], slopes.down.mean(axis=-1)[seen]

    def left(blur: float, strength: float) -> float:
        cast = _Slopes.of(np.log(1 - strength * _template(region, blur, offset)))
        return float(np.abs(right - cast.right[seen]).sum() + np.abs(down - cast.down[seen]).sum())

    _, blur, strength = min((left(blur, float(s)), blur, float(s)) for blur in _BLURS for s in _STRENGTHS)
    return blur, strength
