"""The pictures that a model is given to look at: at their own places, or with their tokens moved as the drag says."""

from __future__ import annotations

import torch

from dragflow.method.backbone import Latent, Reference
from dragflow.ops.geometry import CellMap, identity_map


def in_place(z: Latent, grid: tuple[int, int], index: int = 1) -> Reference:
    """A picture as it is; `grid` is the token grid (h, w) of its latent (1, c, h, w)."""
    return moved(z, identity_map(grid, z), index)


def moved(z: Latent, cells: CellMap, index: int = 1) -> Reference:
    """A picture whose own tokens are moved by position alone; at vacated cells there is none.

    Args:
        z: latent of the picture (1, c, h, w).
        cells: the drag on its token grid.
        index: of the reference.
    """
    seen = (~cells.vacated).flatten()
    h, w = cells.vacated.shape
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    positions = torch.stack([rows, columns], dim=-1).reshape(-1, 2).float().to(z.device)
    return Reference(z, cells.index.flatten()[seen], positions[seen], index)
