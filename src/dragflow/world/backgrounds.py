"""Backgrounds: plain, structured and photograph-like, drawn from a small typed description."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRUCTURED = ("stripes", "checks", "bricks", "horizon", "planks", "dots")
TEXTURES = ("grass", "sand", "stone", "water", "wood", "clouds", "snow", "night")
KINDS = ("gradient", "noise", *STRUCTURED, *TEXTURES)

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.25, 0.24),
    "orange": (0.93, 0.60, 0.30),
    "yellow": (0.94, 0.85, 0.48),
    "green": (0.42, 0.68, 0.40),
    "teal": (0.32, 0.64, 0.64),
    "blue": (0.36, 0.55, 0.82),
    "purple": (0.58, 0.45, 0.75),
    "pink": (0.92, 0.66, 0.74),
    "brown": (0.58, 0.44, 0.33),
    "white": (0.93, 0.92, 0.90),
    "grey": (0.60, 0.61, 0.63),
    "black": (0.18, 0.18, 0.21),
}
_RAMPS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "grass": ((0.18, 0.36, 0.12), (0.36, 0.58, 0.22), (0.62, 0.76, 0.38)),
    "sand": ((0.68, 0.55, 0.36), (0.83, 0.71, 0.50), (0.93, 0.85, 0.68)),
    "stone": ((0.34, 0.34, 0.36), (0.54, 0.53, 0.52), (0.74, 0.73, 0.70)),
    "water": ((0.10, 0.30, 0.48), (0.22, 0.50, 0.66), (0.58, 0.80, 0.86)),
    "wood": ((0.42, 0.27, 0.16), (0.62, 0.43, 0.27), (0.78, 0.60, 0.41)),
    "clouds": ((0.42, 0.62, 0.86), (0.66, 0.79, 0.92), (0.96, 0.97, 0.98)),
    "snow": ((0.74, 0.80, 0.88), (0.87, 0.90, 0.94), (0.97, 0.98, 0.99)),
    "night": ((0.06, 0.07, 0.16), (0.14, 0.16, 0.32), (0.32, 0.30, 0.52)),
}
"""Three colours per texture, dark to light."""
_GRAIN = {"wood": (1.9, 6.0, 0.6), "water": (2.1, 0.4, 1.3), "clouds": (2.4, 0.7, 1.0), "grass": (1.7, 1.4, 0.7)}
"""Grain of the textures: spectral slope, stretch along x, along y."""


@dataclass(frozen=True)
class Background:
    """Description of a background; lengths are shares of the picture's smaller side."""

    kind: str
    """One of KINDS."""
    colours: tuple[str, str]
    """Names from PALETTE, for captions."""
    tints: tuple[tuple[float, float, float], tuple[float, float, float]]
    """RGB in [0, 1], near these colours."""
    angle: float
    """In radians."""
    period: float
    phase: tuple[float, float]
    """Share of the period by which the pattern is shifted; `phase[1]` is also the height of a horizon."""
    grain: float
    """Standard deviation of a fine noise over a plain or structured background."""
    seed: int
    """Of the noise."""

    @property
    def structured(self) -> bool:
        """Whether it has lines or edges, which must continue through a hole."""
        return self.kind in STRUCTURED


def background(rng: np.random.Generator, kind: str | None = None) -> Background:
    """A background drawn at random, of one kind if it is given.

    Raises:
        UserError: an unknown kind.
    """
    kind = kind or str(rng.choice(KINDS, p=_weights()))
    if kind not in KINDS:
        raise UserError(f"background {kind!r} is not known: choose one of {', '.join(KINDS)}")
    first, second = (str(colour) for colour in rng.choice(list(PALETTE), 2, replace=False))
    if kind == "horizon":  # land below, sky above
        first, second = (
            str(rng.choice(["green", "brown", "yellow", "grey"])),
            str(rng.choice(["blue", "pink", "white", "purple"])),
        )
    return Background(
        kind,
        (first, second),
        (_tint(rng, first), _tint(rng, second)),
        float(rng.uniform(0, math.pi)),
        float(rng.uniform(0.12, 0.26)),
        (float(rng.uniform()), float(rng.uniform(0.35, 0.65))),
        float(rng.uniform(0.01, 0.025)) if rng.uniform() < 0.3 else 0.0,
        int(rng.integers(2**31)),
    )


def _tint(rng: np.random.Generator, colour: str) -> tuple[float, float, float]:
    tint = np.clip(np.array(PALETTE[colour]) + rng.uniform(-0.07, 0.07, 3), 0.02, 0.98)
    r, g, b = (float(channel) for channel in tint)
    return (r, g, b)


def _weights() -> NDArray[np.float64]:
    twice = ("gradient", "noise", "horizon", "bricks", "stripes", "checks")
    weights = np.array([2.0 if kind in twice else 1.0 for kind in KINDS])
    return weights / weights.sum()


@dataclass(frozen=True)
class _Grid:
    """Pixel centres in shares of the picture's smaller side."""

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    unit: int
    """The smaller side in pixels."""


def paint(spec: Background, size: tuple[int, int]) -> NDArray[np.floating]:
    """The background of size (h, w) as RGB (h, w, 3), about 0 to 1; it is clipped once the light is on it."""
    rng = np.random.default_rng(spec.seed)
    h, w = size
    unit = min(h, w)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    grid = _Grid((x + 0.5) / unit, (y + 0.5) / unit, unit)
    if spec.kind in TEXTURES:
        return _texture(spec, rng, size)
    if spec.kind == "horizon":
        return _horizon(spec, rng, grid)
    if spec.kind == "noise":
        weight = _normalised(spectral_noise(rng, size, 2.6))
    elif spec.kind == "gradient":
        weight = _normalised(grid.x * math.cos(spec.angle) + grid.y * math.sin(spec.angle))
    else:
        patterns = {"stripes": _stripes, "checks": _checks, "bricks": _bricks, "planks": _planks, "dots": _dots}
        weight = patterns[spec.kind](spec, rng, grid)
    first, second = (np.array(tint, np.float32) for tint in spec.tints)
    picture = first + (second - first) * weight[..., None]
    return picture + _fine_grain(spec, rng, size)


def spectral_noise(
    rng: np.random.Generator, size: tuple[int, int], slope: float, stretch: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.floating]:
    """Noise (h, w) whose amplitude falls as frequency to the power -slope; zero mean, unit variance."""
    h, w = size
    fy = np.fft.fftfreq(h)[:, None] * min(h, w) * stretch[1]
    fx = np.fft.rfftfreq(w)[None] * min(h, w) * stretch[0]
    amplitude = (1.0 + fx * fx + fy * fy) ** (-slope / 2)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    noise = np.fft.irfft2(amplitude * np.exp(1j * phase), size)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def _normalised(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values mapped linearly to [0, 1]."""
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-6)).astype(np.float32)


def _edge(distance: NDArray[np.floating], unit: int) -> NDArray[np.floating]:
    """Antialiased step: 0 where the signed distance is negative, 1 where positive, one pixel wide."""
    return np.clip(distance * unit + 0.5, 0, 1)


def _fine_grain(spec: Background, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.floating]:
    if spec.grain == 0:
        return np.zeros((1, 1, 1), np.float32)
    return (spec.grain * spectral_noise(rng, size, 1.9))[..., None]


def _stripes(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    periods = (grid.x * math.cos(spec.angle) + grid.y * math.sin(spec.angle)) / spec.period + spec.phase[0]
    return _edge((np.abs((periods % 1.0) - 0.5) - 0.25) * spec.period, grid.unit)


def _checks(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    angle = spec.angle if spec.phase[0] > 0.5 else 0.0
    u = (grid.x * math.cos(angle) + grid.y * math.sin(angle)) / spec.period + spec.phase[0]
    v = (grid.y * math.cos(angle) - grid.x * math.sin(angle)) / spec.period + spec.phase[1]
    # Stripes of -1 and 1 both ways, with edges a pixel wide: their product is the board.
    across, down = (
        np.clip((np.abs((periods % 1.0) - 0.5) - 0.25) * spec.period * grid.unit, -0.5, 0.5) * 2 for periods in (u, v)
    )
    return 0.5 + 0.5 * across * down


def _bricks(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    height, width = spec.period * 0.6, spec.period * 1.5
    row = np.floor(grid.y / height + spec.phase[1])
    v = (grid.y / height + spec.phase[1]) - row
    u = grid.x / width + spec.phase[0] + 0.5 * (row % 2)
    column = np.floor(u)
    gap = np.minimum(np.minimum(v, 1 - v) * height, np.minimum(u - column, 1 - (u - column)) * width)
    # A brick's tone is looked up by its row and column, so that it has one tone however it is cut off.
    tone = rng.uniform(0.0, 0.30, (97,)).astype(np.float32)[((row * 31 + column * 17) % 97).astype(int)]
    inside = _edge(gap - 0.006, grid.unit)
    return 1 - inside * (1 - tone)


def _planks(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    u = grid.x / (spec.period * 1.1) + spec.phase[0]
    column = np.floor(u)
    gap = np.minimum(u - column, 1 - (u - column)) * spec.period * 1.1
    tone = rng.uniform(0.0, 0.35, (29,)).astype(np.float32)[(column % 29).astype(int)]
    return 1 - _edge(gap - 0.004, grid.unit) * (1 - tone)


def _dots(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    u = (grid.x / spec.period + spec.phase[0]) % 1.0 - 0.5
    v = (grid.y / spec.period + spec.phase[1]) % 1.0 - 0.5
    return _edge((0.27 - np.hypot(u, v)) * spec.period, grid.unit)


def _horizon(spec: Background, rng: np.random.Generator, grid: _Grid) -> NDArray[np.floating]:
    land, sky = (np.array(tint, np.float32) for tint in spec.tints)
    slope = 0.25 * (spec.angle / math.pi - 0.5)
    line = spec.phase[1] * float(grid.y.max()) + slope * (grid.x - 0.5)
    weight = _edge(grid.y - line, grid.unit)[..., None]
    fade = np.clip((line - grid.y) / max(spec.phase[1], 0.1), 0, 1)[..., None]
    depth = np.clip((grid.y - line) * 1.2, 0, 1)[..., None]
    noise = spectral_noise(rng, (grid.y.shape[0], grid.y.shape[1]), 2.0)[..., None]
    upper = sky + (1 - sky) * (0.45 * (1 - fade)) + 0.01 * noise
    lower = land * (0.80 + 0.25 * depth) + 0.03 * noise * (0.4 + depth)
    return upper + (lower - upper) * weight


def _texture(spec: Background, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.floating]:
    slope, along, across = _GRAIN.get(spec.kind, (2.0, 1.0, 1.0))
    noise = spectral_noise(rng, size, slope, (along, across)) if spec.kind != "wood" else _rings(spec, rng, size)
    level = np.clip(0.5 + 0.17 * noise, 0, 1)[..., None]
    dark, middle, light = (np.array(colour, np.float32) for colour in _RAMPS[spec.kind])
    shift = (np.array(spec.tints[0], np.float32) - np.array(PALETTE[spec.colours[0]], np.float32)) * 0.6
    low, high = dark + (middle - dark) * 2 * level, middle + (light - middle) * (2 * level - 1)
    return np.where(level < 0.5, low, high) + shift


def _rings(spec: Background, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.floating]:
    slope, along, across = _GRAIN["wood"]
    wave = spectral_noise(rng, size, 3.0, (2.0, 0.7))
    fine = spectral_noise(rng, size, slope, (1 / along, 1.0 / across))
    return np.sin(wave * 5.0).astype(np.float32) + 0.35 * fine
