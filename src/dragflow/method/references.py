"""The pictures that a model is given to look at: at their own places, or with their tokens moved as the drag says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from dragflow.core.config import EditConfig, ReferenceKind
from dragflow.method.backbone import Latent, Reference
from dragflow.ops.geometry import CellMap, identity_map

UNMOVED: tuple[ReferenceKind, ...] = ("source",)
"""Those that show the picture as it is, and so are known before the drag is."""


def seen_inverting(config: EditConfig) -> tuple[ReferenceKind, ...]:
    """What a model is shown while the picture is inverted.

    Where nothing is solved back and all tokens are recorded: in place of whatever shows something moved the picture as
    it is, so that the record has the tokens of every reference.
    """
    if config.inversion.mode == "noised" and config.records:
        return ("source",) * len(config.references)
    return tuple(kind for kind in config.references if kind in UNMOVED)


def unmoved(kinds: tuple[ReferenceKind, ...], source: Latent, grid: tuple[int, int]) -> tuple[Reference, ...]:
    """Of what a configuration names, the references that show the picture as it is; indices from 1.

    Args:
        kinds: see `EditConfig.references`.
        source: latent of the picture (1, c, h, w).
        grid: its token grid (h, w).
    """
    count = sum(kind in UNMOVED for kind in kinds)
    return tuple(in_place(source, grid, index) for index in range(1, count + 1))


def references_of(
    kinds: tuple[ReferenceKind, ...], source: Latent, cells: CellMap, preview: Callable[[], Latent]
) -> tuple[Reference, ...]:
    """What a configuration names, with indices from 1 in its order.

    Args:
        kinds: see `EditConfig.references`.
        source: latent of the picture (1, c, h, w).
        cells: the drag on its token grid.
        preview: the latent of the pixel preview; drawn and encoded only if it is needed.
    """
    grid = (cells.vacated.shape[0], cells.vacated.shape[1])

    def made(kind: ReferenceKind) -> Reference:
        if kind == "moved":
            return moved(source, cells)
        return in_place(source if kind == "source" else preview(), grid)

    return tuple(replace(made(kind), index=index) for index, kind in enumerate(kinds, 1))


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
