"""Masks on feature grids, and the weights of several operations (App. D.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def coverage(mask: Bool[Tensor, "H W"], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Share of each cell of a grid of `size` (h, w) that the mask covers."""
    return share(mask.float(), size)


def share(weight: Float[Tensor, "H W"], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Mean of the weights in each cell of a grid of `size` (h, w)."""
    return F.adaptive_avg_pool2d(weight[None, None], size)[0, 0]


def covered_cells(share: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Cells more than half covered; of a region thinner than a cell, the cells it covers best.

    Without the second rule a thin region would have no cell, no loss, and would silently stay where it is.
    """
    best = float(share.max())
    return share > 0.5 * min(1.0, best) if best > 0 else torch.zeros_like(share, dtype=torch.bool)


def any_cells(mask: Bool[Tensor, "H W"], size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Cells of which any pixel is in the mask (method Sec. 3)."""
    return F.adaptive_max_pool2d(mask[None, None].float(), size)[0, 0] > 0


def region_weights(regions: Sequence[Bool[Tensor, "H W"]]) -> list[float]:
    """App. D.1: S = share of pixels; w = clamp(1 + 0.5/(S + 0.1), 1, 5); gamma = w / sum(w)."""
    raw = [min(max(1 + 0.5 / (float(region.float().mean()) + 0.1), 1.0), 5.0) for region in regions]
    return [weight / sum(raw) for weight in raw]


def grown(mask: Bool[Tensor, "h w"], cells: int) -> Bool[Tensor, "h w"]:
    """A mask with what lies so many cells around it."""
    return F.max_pool2d(mask[None, None].float(), 2 * cells + 1, 1, cells)[0, 0] > 0


def rim(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Cells on either side of the border of a mask."""
    m = mask[None, None].float()
    grown, shrunk = F.max_pool2d(m, 3, 1, 1), -F.max_pool2d(-m, 3, 1, 1)
    return (grown - shrunk)[0, 0] > 0
