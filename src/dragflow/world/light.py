"""Light that varies over the picture, and the soft shadows objects throw in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Light:
    """Description of the light: a ramp or a spot that multiplies colours, and one shadow for every object."""

    kind: str  # "flat", "ramp" or "spot"
    warm: float
    strength: float
    angle: float
    centre: tuple[float, float]
    shadow: float  # darkness of the shadows, 0 = none
    shadow_offset: tuple[float, float]  # in shares of the picture's smaller side
    shadow_blur: float

    @property
    def varies(self) -> bool:
        """Whether an object changes its look when it moves."""
        return self.kind != "flat"

    @property
    def shadows(self) -> bool:
        """Whether objects throw shadows."""
        return self.shadow > 0


def light(rng: np.random.Generator) -> Light:
    """Draws a description."""
    kind = str(rng.choice(["flat", "ramp", "spot"], p=[0.4, 0.35, 0.25]))
    direction, length = float(rng.uniform(0.15, 0.85) * math.pi), float(rng.uniform(0.02, 0.07))
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


def field(spec: Light, size: tuple[int, int]) -> np.ndarray | None:
    """The factor on colours at every pixel (h, w, 3), or None where the light is flat."""
    if not spec.varies:
        return None
    h, w = size
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / min(h, w) for n in (h, w))
    if spec.kind == "ramp":
        s = (x[None] - 0.5) * math.cos(spec.angle) + (y[:, None] - 0.5) * math.sin(spec.angle)
        level = 0.95 + spec.strength * 0.8 * s
    else:
        far = (x[None] - spec.centre[0]) ** 2 + (y[:, None] - spec.centre[1]) ** 2
        level = 1.12 - spec.strength * (1 - np.exp(-far / 0.18))
    tone = np.array([1 + spec.warm, 1.0, 1 - spec.warm], np.float32)
    return np.clip(level[..., None] * (1 + (level[..., None] - 0.95) * (tone - 1) * 4), 0.25, 1.35).astype(np.float32)


def cast(spec: Light, alpha: np.ndarray) -> np.ndarray:
    """The factor (h, w) by which an object's shadow darkens what lies below it; exactly 1 far from the object."""
    h, w = alpha.shape
    unit = min(h, w)
    ys, xs = np.nonzero(alpha.any(1))[0], np.nonzero(alpha.any(0))[0]
    shade = np.ones_like(alpha)
    if len(ys) == 0:
        return shade
    sigma = spec.shadow_blur * unit
    reach = int(4 * sigma) + 2
    dx, dy = (v * unit for v in spec.shadow_offset)
    y0, y1 = max(0, ys[0] + math.floor(dy) - reach), min(h, ys[-1] + math.ceil(dy) + reach + 1)
    x0, x1 = max(0, xs[0] + math.floor(dx) - reach), min(w, xs[-1] + math.ceil(dx) + reach + 1)
    if y0 >= y1 or x0 >= x1:
        return shade
    shift = np.array([[1, 0, dx - x0], [0, 1, dy - y0]], np.float32)
    moved = cv2.warpAffine(alpha, shift, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(moved, (2 * reach - 1, 2 * reach - 1), sigma, borderType=cv2.BORDER_CONSTANT)
    shade[y0:y1, x0:x1] = 1 - spec.shadow * np.where(soft > 1 / 512, soft, 0)
    return shade
