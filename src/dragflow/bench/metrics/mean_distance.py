"""Mean distances: how far from its target a point's features match the edit best (DragDiffusion; DragFlow App. E).

Features (c, h, w) are resized bilinearly to the picture, then compared by their cosine. The resized map is never made:
dot products and squared norms of interpolated features follow from products of neighbours on the features' own grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dragflow.bench.metrics.pixels import nearest_pixel
from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import NumericalError
from dragflow.ops import geometry

Features = Float[Tensor, "c h w"]
Map = NDArray[np.float64]

_FRAME = 768
"""Side of the square that MD2 is measured in."""
_SMALLEST_DISC = 5.0
_TINY = 1e-12
_EQUAL = 1e-6
"""Cosines closer than this are equal: float32 cannot tell them apart, and machines round differently."""


def mean_distance(
    source: Features,
    edit: Features,
    size: tuple[int, int],
    begin: Sequence[Point],
    target: Sequence[Point],
    where: Mask | None = None,
) -> float:
    """MD: distance in pixels from each target to the best match of its begin point, mean over the points.

    Args:
        source: features of the source.
        edit: features of the edit.
        size: (H, W) of both pictures.
        begin: points of the source, rounded to pixels.
        target: where they should be.
        where: (H, W), where in the edit a match may be; anywhere if None. MD1 takes the editable area.

    Returns:
        NaN without points, or where the mask is empty.
    """
    matches = _match(source, edit, size, begin, [where] * len(begin))
    return _mean([math.dist(p, t) for p, t in zip(matches, target, strict=True)])


def disc_distance(
    source: Features, edit: Features, size: tuple[int, int], begin: Sequence[Point], target: Sequence[Point]
) -> float:
    """MD2: in a frame of 768 x 768, matches within discs around both points; distance in % of the frame's sides.

    The radius of the discs is the distance of the two points over sqrt 2, and at least 5.

    Args:
        source: features of the source.
        edit: features of the edit.
        size: (H, W) of both pictures.
        begin: points of the source.
        target: where they should be.

    Returns:
        NaN without points.
    """
    frame = (_FRAME, _FRAME)
    starts, ends = ([_in_frame(point, size, frame) for point in points] for points in (begin, target))
    discs = [_discs(b, t, frame) for b, t in zip(starts, ends, strict=True)]
    matches = _match(source, edit, frame, starts, discs)
    return 100 * _mean([math.dist(p, t) / _FRAME for p, t in zip(matches, ends, strict=True)])


def _match(
    source: Features, edit: Features, size: tuple[int, int], begin: Sequence[Point], where: Sequence[Mask | None]
) -> list[Point]:
    """The pixel of the edit most similar to each begin pixel of the source; among equals the first, row by row."""
    if not begin:
        return []
    if not bool(source.isfinite().all() and edit.isfinite().all()):
        raise NumericalError("features of a picture are not finite: use float32, or another model")
    grid = (source.shape[1], source.shape[2])
    pixels = torch.tensor([nearest_pixel(point, size) for point in begin], dtype=torch.float32)
    points = geometry.grid_points(pixels, size, grid).to(source)
    vectors = F.normalize(geometry.sample_points(source[None], points), dim=1)
    lengths = np.maximum(np.sqrt(_squared_norms(edit, size)), _TINY)
    return [_first_best(_dots(v, edit, size) / lengths, mask) for v, mask in zip(vectors, where, strict=True)]


def _first_best(cosine: Map, where: Mask | None) -> Point:
    if where is not None and not where.any():
        return (math.nan, math.nan)
    allowed = cosine if where is None else np.where(where, cosine, -np.inf)
    y, x = np.unravel_index(int(np.argmax(allowed >= allowed.max() - _EQUAL)), allowed.shape)
    return (float(x), float(y))


@dataclass(frozen=True, eq=False)
class _Axis:
    """For each pixel of a side, the two cells that it is between, and the weight of the second."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: Map


def _axes(size: tuple[int, int], grid: tuple[int, int]) -> tuple[_Axis, _Axis]:
    """Rows and columns. Pixels beyond the outer cells' centres get exactly those cells' values: ties stay ties."""
    (sx, _, cx), (_, sy, cy) = geometry.cell_frame(size, grid)

    def axis(pixels: int, cells: int, scale: float, offset: float) -> _Axis:
        at = np.clip((np.arange(pixels, dtype=np.float64) - offset) / scale, 0, cells - 1)
        low = np.floor(at).astype(np.int64)
        return _Axis(low, np.minimum(low + 1, cells - 1), np.asarray(at - low, dtype=np.float64))

    return axis(size[0], grid[0], sy, cy), axis(size[1], grid[1], sx, cx)


def _dots(vector: Float[Tensor, " c"], features: Features, size: tuple[int, int]) -> Map:
    """Dot product of a vector with the resized features, (H, W): resizing is linear, so the products are resized."""
    rows, columns = _axes(size, (features.shape[1], features.shape[2]))
    cells = _to_numpy(torch.einsum("c,chw->hw", vector, features))
    a, b = columns.share, rows.share[:, None]
    wide = (1 - a) * cells[:, columns.low] + a * cells[:, columns.high]
    return (1 - b) * wide[rows.low] + b * wide[rows.high]


def _squared_norms(features: Features, size: tuple[int, int]) -> Map:
    """Squared length of the resized features, (H, W), from products of each cell with itself and its neighbours."""
    rows, columns = _axes(size, (features.shape[1], features.shape[2]))
    right = torch.cat([features[:, :, 1:], features[:, :, -1:]], dim=2)
    below = torch.cat([features[:, 1:], features[:, -1:]], dim=1)
    across = torch.cat([below[:, :, 1:], below[:, :, -1:]], dim=2)

    def product(x: Features, y: Features) -> Map:
        return _to_numpy(torch.einsum("chw,chw->hw", x, y))

    itself, with_right, with_below = product(features, features), product(features, right), product(features, below)
    diagonal = product(features, across) + product(right, below)
    low, high, a, b = columns.low, columns.high, columns.share, rows.share[:, None]
    # An interpolated feature is a weighted sum of four cells, so its squared length needs only their products. First
    # along x, for each row g of cells: |g|^2, and the product of g with the row below it. Then along y.
    length = (1 - a) ** 2 * itself[:, low] + a**2 * itself[:, high] + 2 * a * (1 - a) * with_right[:, low]
    next_row = (1 - a) ** 2 * with_below[:, low] + a**2 * with_below[:, high] + a * (1 - a) * diagonal[:, low]
    squared = (1 - b) ** 2 * length[rows.low] + b**2 * length[rows.high] + 2 * b * (1 - b) * next_row[rows.low]
    return np.maximum(squared, 0)


def _to_numpy(values: Float[Tensor, "h w"]) -> Map:
    return values.cpu().double().numpy()


def _in_frame(point: Point, size: tuple[int, int], frame: tuple[int, int]) -> Point:
    ((x, y),) = geometry.grid_points(torch.tensor([point], dtype=torch.float64), size, frame).tolist()
    return (x, y)


def _discs(begin: Point, target: Point, frame: tuple[int, int]) -> Mask:
    radius = max(_SMALLEST_DISC, math.dist(begin, target) / math.sqrt(2))
    ys, xs = np.mgrid[: frame[0], : frame[1]]
    near = [(xs - x) ** 2 + (ys - y) ** 2 <= radius**2 for x, y in (begin, target)]
    return near[0] | near[1]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
