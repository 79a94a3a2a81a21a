"""Light that varies over the picture, and the soft shadows that objects cast in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Light:
    """A ramp or a spot that multiplies colours, and one shadow for every object; lengths are shares of the unit."""

    kind: str
    """flat, ramp or spot."""
    warm: float
    """How much redder the bright side is than the dark one; negative is bluer."""
    strength: float
    angle: float
    """Direction of a ramp, in radians."""
    centre: tuple[float, float]
    """Centre of a spot."""
    shadow: float
    """Darkness of the shadows, 0 for none."""
    shadow_offset: tuple[float, float]
    shadow_blur: float

    @property
    def varies(self) -> bool:
        """Whether an object changes its colours when it moves."""
        return self.kind != "flat"

    @property
    def shadows(self) -> bool:
        """Whether objects cast shadows."""
        return self.shadow > 0


def light(rng: np.random.Generator) -> Light:
    """A light drawn at random."""
    kind = str(rng.choice(["flat", "ramp", "spot"], p=[0.4, 0.35, 0.25]))
    direction, length = float(rng.uniform(0.15, 0.85) * math.pi), float(rng.uniform(0.02, 0.07))
    # The order of the fields is the order of the draws: a scene's number means the same light for good.
    return Light(
        kind,
        float(rng.uniform(-0.12, 0.12)),
        float(rng.uniform(0.35, 0.65)),
        float(rng.uniform(0, 2 * math.pi)),
        (float(rng.uniform(0.15, 0.85)), float(rng.uniform(0.1, 0.8))),
        float(rng.uniform(0.3, 0.6)) if rng.uniform() < 0.6 else 0.0,
        (length * math.cos(direction), length * math.sin(direction)),
        float(rng.uniform(0.008, 0.025)),
    )


def field(light: Light, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """The factor on colours at every pixel (h, w, 3), or None where the light is flat."""
    if not light.varies:
        return None
    h, w = size
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / min(h, w) for n in (h, w))
    if light.kind == "ramp":
        along = (x[None] - 0.5) * math.cos(light.angle) + (y[:, None] - 0.5) * math.sin(light.angle)
        level = 0.95 + light.strength * 0.8 * along
    else:
        squared = (x[None] - light.centre[0]) ** 2 + (y[:, None] - light.centre[1]) ** 2
        level = 1.12 - light.strength * (1 - np.exp(-squared / 0.18))
    tone = np.array([1 + light.warm, 1.0, 1 - light.warm], np.float32)
    return np.clip(level[..., None] * (1 + (level[..., None] - 0.95) * (tone - 1) * 4), 0.25, 1.35).astype(np.float32)


def cast(light: Light, alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """The factor (h, w) by which the shadow of an object of this coverage darkens what is behind it.

    It is exactly 1 far from the object: only the box that the shadow can reach is blurred.
    """
    h, w = alpha.shape
    unit = min(h, w)
    ys, xs = np.nonzero(alpha.any(1))[0], np.nonzero(alpha.any(0))[0]
    shade = np.ones_like(alpha)
    if len(ys) == 0:
        return shade
    sigma = light.shadow_blur * unit
    reach = int(4 * sigma) + 2
    dx, dy = (share * unit for share in light.shadow_offset)
    y0, y1 = max(0, ys[0] + math.floor(dy) - reach), min(h, ys[-1] + math.ceil(dy) + reach + 1)
    x0, x1 = max(0, xs[0] + math.floor(dx) - reach), min(w, xs[-1] + math.ceil(dx) + reach + 1)
    if y0 >= y1 or x0 >= x1:
        return shade
    shift = np.array([[1, 0, dx - x0], [0, 1, dy - y0]], np.float32)
    moved = cv2.warpAffine(alpha, shift, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(moved, (2 * reach - 1, 2 * reach - 1), sigma, borderType=cv2.BORDER_CONSTANT)
    shade[y0:y1, x0:x1] = 1 - light.shadow * np.where(soft > 1 / 512, soft, 0)
    return shade
