"""Region-level affine supervision (paper Sec. 3.2, Eq. 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dragflow.core.arrays import Point
from dragflow.core.motion import Motion, motion_matrix
from dragflow.method.backbone import Features
from dragflow.ops import geometry, masks

Mean = Literal["map", "region"]


@dataclass(frozen=True, eq=False)
class Stretched:
    """The picture around a part at some progress of its motion."""

    field: Float[Tensor, "H W 2"]
    """How far away, in pixels, each pixel comes from; inside the part by its motion exactly."""
    weight: Float[Tensor, "H W"]
    """How far each pixel follows the part: 1 in it, 0 where nothing moves."""


Stretch = Callable[[float], Stretched]


@dataclass(frozen=True, eq=False)
class RegionMotion:
    """One operation as the method sees it."""

    mask: Bool[Tensor, "H W"]
    """Source region in pixels of the source picture."""
    motion: Motion
    handle: Point
    weight: float
    """gamma_i of App. D.1."""
    stretch: Stretch | None = None
    """What happens around a part, if that is to count; None: the region alone (paper)."""


@dataclass(frozen=True, eq=False)
class RegionTarget:
    """Where one region should be at some progress, and the features that belong there."""

    mask: Bool[Tensor, "h w"] | Float[Tensor, "h w"]
    """M_i^k on the feature grid; around a part, how far each cell follows it."""
    references: Features
    """warp(F0, A_i), one for each tap."""
    weight: float


def region_loss(features: Features, targets: Sequence[RegionTarget], mean: Mean) -> Tensor:
    """Eq. 2: sum_i gamma_i mean |M_i^k (F(z) - warp(F0, A_i))|, averaged over the taps.

    `mean` is over the whole map ("map", the paper) or over the cells of the region ("region").
    """
    total = features[0].new_zeros((), dtype=torch.float32)
    for target in targets:
        mask = target.mask.float()
        for feature, reference in zip(features, target.references, strict=True):
            difference = (mask * (feature.float() - reference.float())).abs()
            share = mask.mean().clamp_min(1e-12) if mean == "region" else 1.0
            total = total + target.weight * difference.mean() / share / len(features)
    return total


class RegionSupervision:
    """Supervision by whole regions: holds the reference features, and the targets of the last progress asked for."""

    def __init__(self, references: Features, regions: Sequence[RegionMotion], mean: Mean) -> None:
        self._references = tuple(reference.detach() for reference in references)
        self._regions = regions
        self._mean: Mean = mean
        self._at: tuple[float, list[RegionTarget]] | None = None

    def loss(self, features: Features, progress: float) -> Tensor:
        """Eq. 2 at this progress."""
        if self._at is None or self._at[0] != progress:
            self._at = (progress, self.targets(progress))
        return region_loss(features, self._at[1], self._mean)

    def targets(self, progress: float) -> list[RegionTarget]:
        """Masks and warped reference features at this progress; border padding for features, none for masks."""
        grid = (self._references[0].shape[-2], self._references[0].shape[-1])
        targets: list[RegionTarget] = []
        for region in self._regions:
            matrix = motion_matrix(region.motion, region.handle, progress)
            moved = geometry.warp(region.mask[None, None].float(), matrix, padding="zeros")[0, 0] > 0.5
            cells = masks.covered_cells(masks.coverage(moved, grid))
            if region.stretch is None:
                on_grid = geometry.to_grid(matrix, (region.mask.shape[0], region.mask.shape[1]), grid)
                points = geometry.source_points(on_grid, grid)
            else:
                around = region.stretch(progress)
                points = geometry.field_points(around.field.cpu(), grid)
                cells = torch.maximum(cells.float(), masks.share(around.weight, grid))
            references = tuple(geometry.warp_from(reference.float(), points) for reference in self._references)
            targets.append(RegionTarget(cells, references, region.weight))
        return targets
