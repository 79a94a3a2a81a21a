"""Cutting a region out of a picture: how much of each pixel at its rim belongs to it, and in which colours.

The colour I of a pixel at the rim is taken for a mixture a F + (1 - a) B of the object's colour F and the background's
B, both known as means of what is a little farther inside and outside. The share a is the least-squares one, and the
object's own part of the colour is what is left of I without (1 - a) B. Where F and B are alike, or I is on no line
between them, the painted rim counts, a little blurred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix
from dragflow.core.task import Cut
from dragflow.pixels import masks
from dragflow.pixels.colours import means

_BAND, _SHARP = 1.5, 512
"""Half of the width of the rim in pixels, up to a shorter side of so many; above, edges are wider in proportion."""
_BLUR = 0.5
"""Blur of the painted rim where colours tell nothing, in pixels, up to the same side."""
_NOISE = 24.0
"""Grey levels by which the colours of object and background vary around their means."""
_FAINT = 0.25
"""Share from which a pixel's own colour counts fully; under it, more and more the mean of the object's."""
_SHRUNK = 0.4
"""Blur, in pixels of the smaller picture, that keeps what shrinks from aliasing."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """What is painted where a region goes."""

    alpha: Map
    """(H, W): the share of each pixel, 0 to 1, that belongs to the region."""
    colours: Pixels
    """(H, W, 3): the object's colours, continued a little beyond its rim."""

    @property
    def support(self) -> Mask:
        """(H, W): every pixel of which some share belongs to the region."""
        return self.alpha > 0

    def moved(self, motion: Matrix, size: tuple[int, int]) -> tuple[Map, Map]:
        """The colours (h, w, 3) and the shares (h, w, 1), carried by an affine map onto a picture of `size` (h, w)."""
        warp = np.array(motion, dtype=np.float64)
        colours, alpha = self._softened(math.sqrt(abs(np.linalg.det(warp[:, :2]))))
        # Bilinear sampling blurs what moves by a fraction of a pixel; the cubic overshoots at edges, and is cut there.
        kind = cv2.INTER_CUBIC
        moved = cv2.warpAffine(colours, warp, size[::-1], flags=kind, borderMode=cv2.BORDER_REPLICATE)
        weight = np.clip(cv2.warpAffine(alpha, warp, size[::-1], flags=kind), 0, 1)
        return np.asarray(moved, np.float32), np.asarray(weight[..., None], np.float32)

    def _softened(self, factor: float) -> tuple[Pixels, Map]:
        """Colours and shares as they must be before they are sampled `factor` times as large."""
        sigma = _SHRUNK * math.sqrt(max(1 / factor**2 - 1, 0))
        if sigma < 0.1:
            return self.colours, self.alpha
        window = masks.window(self.support, math.ceil(4 * sigma) + 2)
        colours, alpha = self.colours.copy(), self.alpha.copy()
        for whole in (colours, alpha):
            whole[window] = cv2.GaussianBlur(whole[window], (0, 0), sigma)
        return colours, alpha


def rim_width(size: tuple[int, int], cut: Cut) -> int:
    """How many pixels beyond its region a cut-out of a picture of `size` (h, w) may reach."""
    return 0 if cut == "hard" else math.ceil(_BAND * max(1.0, min(size) / _SHARP))


def cut_out(image: Pixels, region: Mask, cut: Cut) -> CutOut:
    """A region (H, W) of a picture (H, W, 3), as painted (`hard`), or with an estimated rim (otherwise)."""
    if cut == "hard":
        # Soft only inwards from the rim: what is beside the region must not be painted along with it.
        alpha = cv2.GaussianBlur(region.astype(np.float32), (3, 3), 0) * region
        return CutOut(np.asarray(alpha, np.float32), image)
    scale = max(1.0, min(region.shape) / _SHARP)
    window = masks.window(region, int(np.ceil((_BAND + 2) * scale)) + 1)
    alpha, colours = np.zeros(region.shape, np.float32), image.copy()
    alpha[window], colours[window] = rim_shares(image[window].astype(np.float32), region[window], scale)
    return CutOut(alpha, colours)


def rim_shares(image: Map, region: Mask, scale: float) -> tuple[Map, Pixels]:
    """The shares (H, W) of a region in a picture (H, W, 3), and its colours, near its rim: up to 1.5 `scale` pixels."""
    depth, band = masks.depth(region), _BAND * scale
    # Where a region is thinner than its rim, or fills the window, all of that side counts a little.
    inside, outside = ((side * depth >= band) + 1e-3 * (side * depth > 0) for side in (1, -1))
    mine, other = (means(image, side, scale, least=1e-6) for side in (inside, outside))
    apart = mine - other
    contrast = (apart**2).sum(axis=2)
    share = np.clip(((image - other) * apart).sum(axis=2) / np.maximum(contrast, 1e-3), 0, 1)
    misfit = ((image - other - share[..., None] * apart) ** 2).sum(axis=2)
    trust = contrast / (contrast + 3 * _NOISE**2 + 4 * misfit)
    painted = cv2.GaussianBlur(region.astype(np.float32), (0, 0), _BLUR * scale)
    alpha = np.where(depth > band, 1, np.where(depth < -band, 0, trust * share + (1 - trust) * painted))
    trust, alpha = trust[..., None], alpha[..., None]
    own = (image - (1 - alpha) * other) / np.maximum(alpha, 1e-3)
    own = trust * own + (1 - trust) * np.where(region[..., None], image, mine)
    # A pixel of which little belongs to the object says little about the object's colour.
    certain = np.minimum(alpha / _FAINT, 1)
    colours = np.where(depth[..., None] > band, image, certain * own + (1 - certain) * mine)
    near = depth > -band - 2 * scale  # beyond, nothing is read
    colours = np.where(near[..., None], colours, image)
    return alpha[..., 0].astype(np.float32), np.rint(np.clip(colours, 0, 255)).astype(np.uint8)
