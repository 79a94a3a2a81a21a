"""The only place where coordinate frames change: pixel maps to grid maps, warping, and which cell comes from which.

Points are (x, y), sizes (h, w). The centre of the top left pixel or cell is (0, 0) in its own frame; a grid that covers
the picture has cells of H/h x W/w pixels, so cell centre i is at pixel (i + 1/2) H/h - 1/2 (`align_corners=False`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    return warp_from(x, source_points(matrix, (h, w)), padding=padding)


def warp_from(
    x: Float[Tensor, "b c h w"], points: Float[Tensor, "h w 2"], *, padding: str = "border"
) -> Float[Tensor, "b c h w"]:
    """The map in which each cell has the value at the (x, y) that it comes from; see `warp`."""
    h, w = x.shape[-2:]
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


def field_points(field: Float[Tensor, "H W 2"], grid: Size) -> Float[Tensor, "h w 2"]:
    """For every cell of a grid the (x, y) it comes from, by a field that says how far away each pixel comes from."""
    h, w = grid
    cell = torch.tensor([field.shape[1] / w, field.shape[0] / h], dtype=torch.float64)
    mean = F.adaptive_avg_pool2d(field.double().permute(2, 0, 1), grid).permute(1, 2, 0)
    return source_points(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), grid) + mean / cell


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
    removed: Bool[Tensor, "h w"] | None = None
    """Of these, the ones whose content is to be seen nowhere; None: of no cell."""


def identity_map(size: Size, like: Tensor) -> CellMap:
    """The map of a grid on which nothing moves."""
    index = torch.arange(size[0] * size[1], device=like.device).reshape(size)
    nothing = torch.zeros(size, dtype=torch.bool, device=like.device)
    return CellMap(index, nothing, nothing)


def move_cells(cells: CellMap, region: Bool[Tensor, "h w"], matrix: Matrix, *, leaves: bool = True) -> CellMap:
    """Add the motion of one region to what has been moved so far.

    Args:
        cells: what has been moved.
        region: cells of the picture.
        matrix: a map of cell coordinates.
        leaves: whether the region is missing where it was; that of a copy is not.
    """
    h, w = region.shape
    # Every target cell looks up its source, so that no cell is missed when the region grows.
    x, y = _nearest(source_points(matrix, (h, w))).to(region.device).unbind(-1)
    known = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    flat = torch.where(known, y * w + x, torch.zeros_like(x))
    # Sources are cells of the picture, not of what was moved before: regions move from where they were painted.
    lands = known & region.flatten()[flat]
    moved = cells.moved | lands
    vacated = cells.vacated | region if leaves else cells.vacated
    # A hole that an earlier operation left is closed where this one moves into it.
    removed = None if cells.removed is None else cells.removed & ~moved
    return CellMap(torch.where(lands, flat, cells.index), moved, vacated & ~moved, removed)


def remove_cells(cells: CellMap, region: Bool[Tensor, "h w"]) -> CellMap:
    """Add the removal of one region to what has been moved so far."""
    gone = region & ~cells.moved
    removed = gone if cells.removed is None else cells.removed | gone
    return replace(cells, vacated=cells.vacated | gone, removed=removed)


def stretched_cells(points: Float[Tensor, "h w 2"], hole: Bool[Tensor, "h w"]) -> CellMap:
    """The map of a warp, by the (x, y) that each cell comes from; what comes from the hole is vacated."""
    h, w = hole.shape
    x, y = _nearest(points).to(hole.device).unbind(-1)
    index = y.clamp(0, h - 1) * w + x.clamp(0, w - 1)
    vacated = hole.flatten()[index]
    return CellMap(index, (index != identity_map((h, w), hole).index) & ~vacated, vacated)


def _nearest(points: Float[Tensor, "h w 2"]) -> Int[Tensor, "h w 2"]:
    """The cells that points are in; half-cell ties, which whole-pixel drags are full of, go to the higher cell."""
    return torch.floor(points + 0.5 + _WHOLE).long()


def gather_cells(x: Float[Tensor, "b c h w"], cells: CellMap) -> Float[Tensor, "b c h w"]:
    """The map in which every cell has the value of its source cell."""
    return x.flatten(2)[:, :, cells.index.flatten()].reshape(x.shape)
