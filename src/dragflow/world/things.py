"""What stands in a scene: sprites, limbs joined to them, and how each is drawn as premultiplied RGBA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dragflow.world import atlas
from dragflow.world.motion import Motion, Point


@dataclass(frozen=True)
class Thing:
    """One drawn object; `pose` (2 x 3) takes its own square [-0.5, 0.5]^2 to shares of the picture's smaller side.

    A sprite may be stretched by `bend` beyond a seam, a line across its own x axis.
    A limb is a rounded bar from the joint (its origin) along +x, whose root a cap drawn by its owner covers.
    """

    kind: str  # "sprite" or "limb"
    name: str  # sprite name, or colour word of a limb
    pose: tuple[tuple[float, float, float], tuple[float, float, float]]
    role: str = "object"  # "object", "limb" or "cap"
    group: int = 0  # things of one group move together; only a limb moves alone
    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    seam: float | None = None  # position of the seam along own x, -0.5 to 0.5
    side: int = 1  # which side of the seam stretches: +1 right, -1 left
    bend: float = 1.0  # the factor beyond the seam

    def placed(self) -> np.ndarray:
        """The pose as 3 x 3."""
        return np.array([*self.pose, (0.0, 0.0, 1.0)])

    def moved(self, motion: Motion, unit: float) -> Thing:
        """The thing after a motion given in pixels of a picture whose smaller side is `unit`."""
        to_px = _to_pixels(unit)
        pose = np.linalg.inv(to_px) @ motion.full() @ to_px @ self.placed()
        return replace(self, pose=_rows(pose))


def _rows(m: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    r = [(float(m[i, 0]), float(m[i, 1]), float(m[i, 2])) for i in (0, 1)]
    return r[0], r[1]


def _to_pixels(unit: float) -> np.ndarray:
    """From shares of the picture to pixels; the centre of the top left pixel is (0, 0)."""
    return np.array([[unit, 0, -0.5], [0, unit, -0.5], [0, 0, 1.0]])


def pose(
    centre: Point, size: float, degrees: float = 0.0, mirror: bool = False
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Builds a pose from where, how large, how turned."""
    r = math.radians(degrees)
    c, s = size * math.cos(r), size * math.sin(r)
    m = -1.0 if mirror else 1.0
    return ((c * m, -s, centre[0]), (s * m, c, centre[1]))


def point(thing: Thing, own: Point, unit: float) -> Point:
    """A point of the thing, in pixels."""
    p = _to_pixels(unit) @ thing.placed() @ np.array([own[0], own[1], 1.0])
    return (float(p[0]), float(p[1]))


def draw(thing: Thing, size: tuple[int, int]) -> np.ndarray:
    """The thing alone on a clear picture: premultiplied float32 RGBA of size (h, w)."""
    unit = min(size)
    to_px = _to_pixels(unit) @ thing.placed()
    if thing.kind == "limb":
        return _draw_limb(thing, to_px, size)
    cell = atlas.pixels(thing.name)
    grow = math.sqrt(abs(np.linalg.det(to_px[:2, :2]))) / atlas.CELL
    cell = _shrunk(thing.name, _halvings(grow))
    n = cell.shape[0]
    own_to_cell = np.array([[n, 0, n / 2 - 0.5], [0, n, n / 2 - 0.5], [0, 0, 1.0]])
    matrix = to_px @ np.linalg.inv(own_to_cell)
    if thing.seam is None:
        return _warp(cell, matrix, size)
    return _draw_bent(thing, thing.seam, cell, matrix, size)


def _halvings(grow: float) -> int:
    return max(0, min(3, round(math.log2(1 / max(grow, 1e-3)) - 0.1)))


def _shrunk(name: str, halvings: int) -> np.ndarray:
    cell = atlas.pixels(name)
    n = atlas.CELL >> halvings
    return cell if halvings == 0 else cv2.resize(cell, (n, n), interpolation=cv2.INTER_AREA)


def _warp(cell: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    h, w = size
    return cv2.warpAffine(cell, matrix[:2], (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _draw_bent(thing: Thing, seam: float, cell: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draws a sprite whose part beyond the seam is stretched; sampled backwards, so that the seam has no gap."""
    h, w = size
    inverse = np.linalg.inv(matrix)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    u = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]).astype(np.float32)
    v = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]).astype(np.float32)
    n = cell.shape[0]
    seam = (seam + 0.5) * n - 0.5
    beyond = (u - seam) * thing.side > 0
    u = np.where(beyond, seam + (u - seam) / np.float32(thing.bend), u).astype(np.float32)
    return cv2.remap(cell, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def beyond_seam(thing: Thing, size: tuple[int, int]) -> np.ndarray:
    """The half plane beyond the seam, as a boolean mask; everything for a thing without one."""
    h, w = size
    if thing.seam is None:
        return np.ones(size, np.bool_)
    inverse = np.linalg.inv(_to_pixels(min(size)) @ thing.placed())
    y, x = np.mgrid[0:h, 0:w]
    return (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] - thing.seam) * thing.side > 0


def _draw_limb(thing: Thing, to_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A rounded bar one unit long that thickens into a hand, or (role "cap") the disc over its root."""
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    inverse = np.linalg.inv(to_px)
    u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    if thing.role == "cap":
        distance, across = 0.17 - np.hypot(u, v), np.hypot(u, v) / 0.17
    else:
        bar = 0.10 - np.hypot(u - np.clip(u, 0.0, 0.85), v)
        hand = 0.155 - np.hypot(u - 0.86, v)
        distance, across = np.maximum(bar, hand), np.abs(v) / 0.12
    pixel = math.sqrt(abs(np.linalg.det(to_px[:2, :2])))
    alpha = np.clip(distance * pixel + 0.5, 0, 1).astype(np.float32)
    bands = np.where((u > 0.16) & (u < 0.30), 0.72, 1.0) if thing.role != "cap" else 1.0
    tone = (1.08 - 0.35 * np.clip(across, 0, 1) ** 2) * bands
    rgb = np.clip(np.array(thing.colour, np.float32) * tone[..., None].astype(np.float32), 0, 1)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], -1).astype(np.float32)
