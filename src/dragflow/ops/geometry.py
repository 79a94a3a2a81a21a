"""The only place where coordinate frames change: pixel maps to grid maps, warping, and which cell comes from which.

Points are (x, y), sizes (h, w). The centre of the top left pixel or cell is (0, 0) in its own frame; a grid that covers
the picture has cells of H/h x W/w pixels, so cell centre i is at pixel (i + 1/2) H/h - 1/2 (`align_corners=False`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dragflow.core.motion import Matrix, compose, invert

Size = tuple[int, int]

_WHOLE = 1e-9
"""Cells: above the rounding error of an inverse map."""


def cell_frame(image: Size, grid: Size) -> Matrix:
    """The map from cell coordinates of `grid` to pixel coordinates of `image`."""
    sy, sx = image[0] / grid[0], image[1] / grid[1]
    return ((sx, 0.0, (sx - 1) / 2), (0.0, sy, (sy - 1) / 2))


def to_grid(matrix: Matrix, image: Size, grid: Size) -> Matrix:
    """A map of pixel coordinates, converted to cell coordinates of a grid over the same picture."""
    frame = cell_frame(image, grid)
    return compose(invert(frame), compose(matrix, frame))


def source_points(matrix: Matrix, size: Size) -> Float[Tensor, "h w 2"]:
    """For every cell of a grid the (x, y) it comes from under a forward map of that grid's coordinates.

    In float64 on the CPU: some accelerators have no float64, and a half-cell tie must be rounded the same way on all.
    """
    h, w = size
    (a, b, c), (d, e, f) = invert(matrix)
    y, x = torch.meshgrid(
        torch.arange(h, dtype=torch.float64),
        torch.arange(w, dtype=torch.float64),
        indexing="ij",
    )
    return torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)


def warp(x: Float[Tensor, "b c h w"], matrix: Matrix, *, padding: str = "border") -> Float[Tensor, "b c h w"]:
    """Carry a map by an affine map of its own cell coordinates, bilinear; exact where cells come from whole cells.

    Args:
        x: features, latents or masks.
        matrix: forward map, source cell -> target cell.
        padding: what comes in from outside: "border" repeats the rim, "zeros" is nothing.
    """
    h, w = x.shape[-2:]
    points = source_points(matrix, (h, w))
    if torch.allclose(points, points.round(), rtol=0, atol=_WHOLE):
        return _take_cells(x, points.round().long().to(x.device), padding)
    scale = torch.tensor([2 / w, 2 / h], dtype=torch.float64)
    # grid_sample's frame: -1 and 1 are the outer edges of the outer cells
    grid = (points + 0.5) * scale - 1
    grid = grid.to(x).expand(x.shape[0], h, w, 2)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _take_cells(x: Float[Tensor, "b c h w"], source: Int[Tensor, "h w 2"], padding: str) -> Float[Tensor, "b c h w"]:
    """The map in which every cell has the value of the cell (x, y) that it comes from.

    Interpolation would be off by a rounding error, which decides on which side of a threshold a half-covered cell is.
    """
    h, w = x.shape[-2:]
    columns, rows = source[..., 0], source[..., 1]
    taken = x[..., rows.clamp(0, h - 1), columns.clamp(0, w - 1)]
    known = (columns >= 0) & (columns < w) & (rows >= 0) & (rows < h)
    return taken if padding == "border" else torch.where(known, taken, 0.0)


def grid_points(points: Float[Tensor, "n 2"], image: Size, grid: Size) -> Float[Tensor, "n 2"]:
    """(x, y) in pixels of a picture, converted to cells of a grid over it."""
    (sx, _, cx), (_, sy, cy) = cell_frame(image, grid)
    return (points - points.new_tensor([cx, cy])) / points.new_tensor([sx, sy])


def sample_points(x: Float[Tensor, "1 c h w"], points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n c"]:
    """The values of a map at (x, y) in its own cells, bilinear, the rim repeated; gradients flow to the map."""
    h, w = x.shape[-2:]
    flat = points.reshape(1, 1, -1, 2)
    grid = (flat + 0.5) * flat.new_tensor([2 / w, 2 / h]) - 1  # as in `warp`
    sampled = F.grid_sample(x, grid.to(x), mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T.reshape(*points.shape[:-1], x.shape[1])


@dataclass(frozen=True, eq=False)
class CellMap:
    """Which cell of a grid comes from which, by nearest neighbour; the discrete form of a drag."""

    index: Int[Tensor, "h w"]
    """Flat index of the source cell; a cell that nothing moves into is its own source."""
    moved: Bool[Tensor, "h w"]
    """Cells that something moves into."""
    vacated: Bool[Tensor, "h w"]
    """Cells that something leaves and nothing moves into."""


def identity_map(size: Size, like: Tensor) -> CellMap:
    """The map of a grid on which nothing moves."""
    index = torch.arange(size[0] * size[1], device=like.device).reshape(size)
    nothing = torch.zeros(size, dtype=torch.bool, device=like.device)
    return CellMap(index, nothing, nothing)


def move_cells(cells: CellMap, region: Bool[Tensor, "h w"], path: list[Matrix], *, leaves_hole: bool) -> CellMap:
    """Add the motion of one region to a map.

    Args:
        cells: what has been moved so far.
        region: source cells of the region.
        path: maps of cell coordinates at which the region is placed in turn, the last on top.
        leaves_hole: whether cells that the region leaves are vacated (not so when a part is stretched).
    """
    h, w = region.shape
    index, moved = cells.index, cells.moved
    for matrix in path:
        # Every target cell looks up its source, so that no cell is missed when the region grows. Half-cell ties, which
        # whole-pixel drags are full of, go to the higher cell.
        source = torch.floor(source_points(matrix, (h, w)) + 0.5 + _WHOLE).long().to(region.device)
        x, y = source.unbind(-1)
        known = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        flat = torch.where(known, y * w + x, torch.zeros_like(x))
        # Sources are cells of the picture, not of what was moved before: regions move from where they were painted.
        lands = known & region.flatten()[flat]
        index, moved = torch.where(lands, flat, index), moved | lands
    # A hole that an earlier operation left is closed where this one moves into it.
    vacated = (cells.vacated | region) & ~moved if leaves_hole else cells.vacated & ~moved
    return CellMap(index, moved, vacated)


def gather_cells(x: Float[Tensor, "b c h w"], cells: CellMap) -> Float[Tensor, "b c h w"]:
    """The map in which every cell has the value of its source cell."""
    return x.flatten(2)[:, :, cells.index.flatten()].reshape(x.shape)
