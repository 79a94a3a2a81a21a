"""The ghost of a drag: what is sent once per region so that a page can draw any motion of it by itself.

It is drawn in this order: the picture with the plate on it; around every attached part a mesh, whose vertices x go to
x + w(x) (M x - x); the shadows, multiplied in; the cut-outs, laid over. A preview also has what depends on the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels, Point
from dragflow.core.motion import Matrix, apply, compose
from dragflow.core.task import DragTask, Instruction, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.layers import Layer, Layers, layers_of

_REACH = 0.6
"""How far what is around an attached part stretches, in square roots of the part's area."""
_LEAST_REACH = 24
"""The same in pixels, at least."""
_CELLS = 48
"""Cells of the mesh along its longer side."""
_STEEP = 2
"""Power of the weights around a joint, as in `dragflow.pixels.elastic`."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece of a picture and where its top left pixel is."""

    left: int
    top: int
    pixels: NDArray[np.uint8]
    """(h, w), (h, w, 3) or (h, w, 4)."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """How far what is around an attached part goes along with it."""

    xs: NDArray[np.float32]
    """(n): x of the vertices' columns in pixels of the picture."""
    ys: NDArray[np.float32]
    """(m): y of their rows."""
    weights: Map
    """(m, n): w at every vertex, 0 to 1; 0 all along the rim."""
    lead: Point | None
    """What is around a part with a joint follows the middle of that, without turning; None: it follows the part."""


@dataclass(frozen=True, eq=False)
class GhostRegion:
    """What is drawn of one region."""

    cutout: Placed | None
    """Colours and alpha of a region that is cut out, if only along its rim but for a joint, and not removed."""
    shadow: Placed | None
    """The light that the region's shadow leaves, 255 for all of it."""
    offset: Point
    """From the region to its shadow, which a motion keeps."""
    mesh: Mesh | None


@dataclass(frozen=True, eq=False)
class Ghost:
    """What is drawn of a picture while regions of it are dragged."""

    plate: Placed | None
    """What lies under the picture's cut-outs and shadows; None where nothing leaves its place."""
    regions: tuple[GhostRegion, ...]
    instruction: Instruction
    """With every region, label and cut settled."""


def ghost_of(task: DragTask, layers: Layers | None = None) -> Ghost:
    """The ghost of a task's regions; its motions only tell labels that were not given.

    Args:
        task: the regions on their picture.
        layers: of what the task cuts out, if they are made already.
    """
    made = layers_of(task) if layers is None else layers
    found = iter(made.regions)
    layered = [(op, next(found) if op.is_cut else None) for op in task.operations]
    regions = tuple(_region(op, layer if op.lands else None) for op, layer in layered)
    return Ghost(_changed(task.image, made.plate), regions, task.instruction)


def draw(image: Pixels, ghost: Ghost, motions: Sequence[Matrix]) -> Pixels:
    """The picture (H, W, 3) with the ghost of every region under its motion: what a page draws, on the server."""
    canvas = image.copy()
    if ghost.plate is not None:
        canvas[_window(ghost.plate)] = ghost.plate.pixels
    for region, motion in zip(ghost.regions, motions, strict=True):
        if region.mesh is not None:
            canvas = _meshed(canvas, region.mesh, motion)
    drawn = canvas.astype(np.float32)
    for region, motion in zip(ghost.regions, motions, strict=True):
        if region.shadow is not None:
            drawn *= _shade(region.shadow, shadow_motion(motion, region.offset), image.shape[:2])[..., None]
    for region, motion in zip(ghost.regions, motions, strict=True):
        if region.cutout is not None:
            _lay(drawn, region.cutout, motion)
    return np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)


def shadow_motion(motion: Matrix, offset: Point) -> Matrix:
    """The motion of a region's shadow: it turns and grows with the region, and keeps its offset from it."""
    dx, dy = offset
    return compose(((1.0, 0.0, dx), (0.0, 1.0, dy)), compose(motion, ((1.0, 0.0, -dx), (0.0, 1.0, -dy))))


def _region(op: ResolvedOperation, layer: Layer | None) -> GhostRegion:
    mesh = mesh_around(op.mask, op.joint) if op.is_deformation else None
    if layer is None:
        return GhostRegion(None, None, (0.0, 0.0), mesh)
    window = masks.window(layer.piece.support, 1)
    alpha = np.rint(layer.piece.alpha[window] * 255).astype(np.uint8)
    cutout = Placed(window[1].start, window[0].start, np.dstack([layer.piece.colours[window], alpha]))
    if layer.shadow is None:
        return GhostRegion(cutout, None, (0.0, 0.0), mesh)
    light = np.rint(np.clip(layer.shadow.light, 0, 1) * 255).astype(np.uint8)
    lit = masks.window(light < 255, 1) if (light < 255).any() else window
    return GhostRegion(cutout, Placed(lit[1].start, lit[0].start, light[lit]), layer.shadow.offset, mesh)


def mesh_around(region: Mask, joint: Mask | None = None) -> Mesh:
    """The weights around an attached region (H, W): 1 on it (on its joint), 0 at the reach, falling evenly between.

    Where the reach would leave the picture, the picture's border stays.
    """
    lead = region if joint is None else joint
    reach = max(_LEAST_REACH, _REACH * math.sqrt(region.sum()))
    window = masks.window(region, math.ceil(reach) + 1)
    inside = lead[window]
    h, w = inside.shape
    to_lead = _distance(inside)
    border = np.zeros((h, w), np.bool_)
    border[[0, -1]] = border[:, [0, -1]] = True
    to_stays = np.minimum(np.maximum(reach - to_lead, 0), _distance(border))
    weight = np.where(inside, 1.0, to_stays / np.maximum(to_lead + to_stays, 1e-6))
    weight[border] = 0
    cell = max(1.0, max(h, w) / _CELLS)
    rows, columns = (np.linspace(0, side - 1, max(2, math.ceil(side / cell) + 1)) for side in (h, w))
    power = 1 if joint is None else _STEEP
    sampled = weight[np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))] ** power
    return Mesh(
        (columns + window[1].start).astype(np.float32),
        (rows + window[0].start).astype(np.float32),
        sampled.astype(np.float32),
        None if joint is None else masks.centroid(joint),
    )


def moved_vertices(mesh: Mesh, motion: Matrix) -> NDArray[np.float32]:
    """(m, n, 2): where the vertices of a mesh go."""
    x, y = np.meshgrid(mesh.xs, mesh.ys)
    if mesh.lead is None:
        (a, b, c), (d, e, f) = motion
        dx, dy = a * x + b * y + c - x, d * x + e * y + f - y
    else:
        to = apply(motion, mesh.lead)
        dx, dy = to[0] - mesh.lead[0], to[1] - mesh.lead[1]
    return np.stack([x + mesh.weights * dx, y + mesh.weights * dy], axis=-1).astype(np.float32)


def _meshed(image: Pixels, mesh: Mesh, motion: Matrix) -> Pixels:
    """The picture with a mesh laid on it whose triangles carry what was under them; later ones cover earlier ones."""
    to = moved_vertices(mesh, motion)
    source = np.stack(np.meshgrid(mesh.xs, mesh.ys), axis=-1)
    h, w = image.shape[:2]
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    field = np.stack([xs, ys], axis=-1)
    for i in range(len(mesh.ys) - 1):
        for j in range(len(mesh.xs) - 1):
            for corners in (((i, j), (i, j + 1), (i + 1, j)), ((i + 1, j + 1), (i + 1, j), (i, j + 1))):
                picked = tuple(np.array(corners).T)
                _triangle(field, source[picked], to[picked])
    drawn = cv2.remap(image, field[..., 0], field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8)


def _triangle(field: Map, source: NDArray[np.float32], to: NDArray[np.float32]) -> None:
    """Write, for every pixel whose centre is in a triangle, where it comes from."""
    h, w = field.shape[:2]
    x0, y0 = np.maximum(np.ceil(to.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.floor(to.max(axis=0)).astype(int) + 1, (w, h))
    edges = np.stack([to[1] - to[0], to[2] - to[0]], axis=1).astype(np.float64)
    if x0 >= x1 or y0 >= y1 or abs(np.linalg.det(edges)) < 1e-9:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float64)
    u, v = np.einsum("ij,jyx->iyx", np.linalg.inv(edges), np.stack([x - to[0, 0], y - to[0, 1]]))
    within = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
    at = source[0] + u[..., None] * (source[1] - source[0]) + v[..., None] * (source[2] - source[0])
    field[y0:y1, x0:x1][within] = at[within]


def _shade(shadow: Placed, motion: Matrix, size: tuple[int, ...]) -> Map:
    light = 255 - shadow.pixels  # beyond the window there is no shadow
    return 1 - _warped(light, (shadow.left, shadow.top), motion, size) / 255


def _lay(canvas: NDArray[np.float32], cutout: Placed, motion: Matrix) -> None:
    share = cutout.pixels[..., 3:].astype(np.float32) / 255
    # Multiplied by alpha before it is sampled, as pages do: what is transparent has no colour.
    weighted = np.dstack([cutout.pixels[..., :3] * share, share * 255])
    moved = _warped(weighted, (cutout.left, cutout.top), motion, canvas.shape[:2])
    canvas *= 1 - moved[..., 3:] / 255
    canvas += moved[..., :3]


def _warped(piece: NDArray[np.generic], at: tuple[int, int], motion: Matrix, size: tuple[int, ...]) -> Map:
    """A piece, with nothing around it, carried onto a picture of `size` (h, w)."""
    padded = np.pad(np.asarray(piece, np.float32), [(1, 1), (1, 1), *[(0, 0)] * (piece.ndim - 2)])
    placed = compose(motion, ((1.0, 0.0, float(at[0] - 1)), (0.0, 1.0, float(at[1] - 1))))
    return np.asarray(cv2.warpAffine(padded, np.array(placed), (size[1], size[0]), flags=cv2.INTER_LINEAR), np.float32)


def _changed(image: Pixels, plate: Pixels) -> Placed | None:
    differs = (image != plate).any(axis=2)
    if not differs.any():
        return None
    window = masks.window(differs, 0)
    return Placed(window[1].start, window[0].start, plate[window])


def _window(placed: Placed) -> tuple[slice, slice]:
    h, w = placed.pixels.shape[:2]
    return slice(placed.top, placed.top + h), slice(placed.left, placed.left + w)


def _distance(mask: Mask) -> Map:
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
