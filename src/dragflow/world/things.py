"""What a scene holds: sprites, limbs attached to them, and how each is drawn as premultiplied RGBA."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Point
from dragflow.core.motion import Matrix
from dragflow.world import atlas
from dragflow.world.motion import Motion, homogeneous, to_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Thing:
    """One drawn object.

    A sprite may be stretched by `bend` beyond a seam, a line across its own x axis. A limb is a rounded bar from the
    joint (its origin) along +x; a cap, drawn by its owner, covers its root.
    """

    kind: str
    """sprite or limb."""
    name: str
    """Name of the sprite, or the colour of a limb in a word."""
    pose: Matrix
    """Takes the thing's own square [-0.5, 0.5]^2 to shares of the picture's smaller side."""
    role: str = "object"
    """object, limb or cap."""
    group: int = 0
    """Things of one group move together; only a limb moves alone."""
    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """RGB in [0, 1] of a limb."""
    seam: float | None = None
    """Position of the seam along the own x axis, -0.5 to 0.5."""
    side: int = 1
    """The side of the seam that stretches: +1 right, -1 left."""
    bend: float = 1.0
    """The factor beyond the seam."""

    @property
    def cell(self) -> NDArray[np.float32]:
        """What is drawn of a sprite: premultiplied RGBA (CELL, CELL, 4)."""
        return atlas.pixels(self.name)

    def moved(self, motion: Motion, unit: float) -> Thing:
        """The thing after a motion given in pixels of a picture whose smaller side is `unit`."""
        pixels = _share_to_pixel(unit)
        pose = np.linalg.inv(pixels) @ homogeneous(motion.matrix) @ pixels @ homogeneous(self.pose)
        return replace(self, pose=to_matrix(pose))


def _share_to_pixel(unit: float) -> NDArray[np.float64]:
    """From shares of the picture's smaller side to pixels; the centre of the top left pixel is (0, 0)."""
    return np.array([[unit, 0, -0.5], [0, unit, -0.5], [0, 0, 1.0]])


def _own_to_pixel(thing: Thing, unit: float) -> NDArray[np.float64]:
    """From the thing's own square to pixels, 3 x 3."""
    return _share_to_pixel(unit) @ homogeneous(thing.pose)


def pose(centre: Point, size: float, degrees: float = 0.0, mirror: bool = False) -> Matrix:
    """The pose of a thing of this size, turned and perhaps mirrored, whose centre is at `centre`."""
    angle = math.radians(degrees)
    cos, sin = size * math.cos(angle), size * math.sin(angle)
    sign = -1.0 if mirror else 1.0
    return ((cos * sign, -sin, centre[0]), (sin * sign, cos, centre[1]))


def point(thing: Thing, own: Point, unit: float) -> Point:
    """A point of the thing's own square, in pixels."""
    x, y, _ = _own_to_pixel(thing, unit) @ np.array([own[0], own[1], 1.0])
    return (float(x), float(y))


def draw(thing: Thing, size: tuple[int, int]) -> NDArray[np.float32]:
    """The thing alone on a clear picture: premultiplied RGBA (h, w, 4)."""
    own_to_pixel = _own_to_pixel(thing, min(size))
    if thing.kind == "limb":
        return _draw_limb(thing, own_to_pixel, size)
    grow = math.sqrt(abs(np.linalg.det(own_to_pixel[:2, :2]))) / atlas.CELL
    cell = _shrunk(thing.cell, _halvings(grow))
    side = cell.shape[0]
    own_to_cell = np.array([[side, 0, side / 2 - 0.5], [0, side, side / 2 - 0.5], [0, 0, 1.0]])
    cell_to_pixel = own_to_pixel @ np.linalg.inv(own_to_cell)
    if thing.seam is None:
        h, w = size
        return np.asarray(cv2.warpAffine(cell, cell_to_pixel[:2], (w, h), flags=cv2.INTER_LINEAR), np.float32)
    return _draw_bent(thing, thing.seam, cell, cell_to_pixel, size)


def _halvings(grow: float) -> int:
    """How often to halve a sprite before it is drawn `grow` times as large: bilinear sampling aliases below 1/2."""
    return max(0, min(3, round(math.log2(1 / max(grow, 1e-3)) - 0.1)))


def _shrunk(cell: NDArray[np.float32], halvings: int) -> NDArray[np.float32]:
    side = atlas.CELL >> halvings
    if halvings == 0:
        return cell
    return np.asarray(cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _draw_bent(
    thing: Thing, seam: float, cell: NDArray[np.float32], cell_to_pixel: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Draw a sprite whose part beyond the seam is stretched; sampled backwards, so that the seam has no gap."""
    h, w = size
    inverse = np.linalg.inv(cell_to_pixel)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    u = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]).astype(np.float32)
    v = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]).astype(np.float32)
    side = cell.shape[0]
    seam = (seam + 0.5) * side - 0.5
    beyond = (u - seam) * thing.side > 0
    u = np.where(beyond, seam + (u - seam) / np.float32(thing.bend), u).astype(np.float32)
    return np.asarray(cv2.remap(cell, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def beyond_seam(thing: Thing, size: tuple[int, int]) -> Mask:
    """The half plane beyond the seam; everything for a thing without one."""
    h, w = size
    if thing.seam is None:
        return np.ones(size, np.bool_)
    inverse = np.linalg.inv(_own_to_pixel(thing, min(size)))
    y, x = np.mgrid[0:h, 0:w]
    return (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] - thing.seam) * thing.side > 0


def _draw_limb(thing: Thing, own_to_pixel: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """A rounded bar one unit long that thickens into a hand, or (role cap) the disc over its root."""
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    inverse = np.linalg.inv(own_to_pixel)
    u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    # Signed distances, positive inside: their maximum is the union, and the edge is one pixel wide at any size.
    if thing.role == "cap":
        distance, across = 0.17 - np.hypot(u, v), np.hypot(u, v) / 0.17
    else:
        bar = 0.10 - np.hypot(u - np.clip(u, 0.0, 0.85), v)
        hand = 0.155 - np.hypot(u - 0.86, v)
        distance, across = np.maximum(bar, hand), np.abs(v) / 0.12
    pixel = math.sqrt(abs(np.linalg.det(own_to_pixel[:2, :2])))
    alpha = np.clip(distance * pixel + 0.5, 0, 1).astype(np.float32)
    # A limb is darker at its edges (it looks round) and has one dark band, so that a rotation is visible.
    bands = np.where((u > 0.16) & (u < 0.30), 0.72, 1.0) if thing.role != "cap" else 1.0
    tone = (1.08 - 0.35 * np.clip(across, 0, 1) ** 2) * bands
    rgb = np.clip(np.array(thing.colour, np.float32) * tone[..., None].astype(np.float32), 0, 1)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], -1).astype(np.float32)
