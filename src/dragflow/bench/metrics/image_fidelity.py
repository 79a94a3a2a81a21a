"""Image fidelity by a perceptual distance: IF_bg, IF_s2t and IF_s2s (DragFlow App. E).

Pictures are (1, 3, H, W) in [-1, 1]. A mask multiplies them, so what is masked out becomes mid-grey, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from dragflow.core.motion import Matrix
from dragflow.ops import geometry

Picture = Float[Tensor, "1 3 H W"]
Mask = Bool[Tensor, "H W"]
Distance = Callable[[Picture, Picture], float]


def masked_distance(distance: Distance, x: Picture, y: Picture, mask: Mask) -> float:
    """Distance of two pictures, both masked out outside of a mask."""
    return distance(mask * x, mask * y)


def background(distance: Distance, source: Picture, edit: Picture, area: Mask) -> float:
    """IF_bg = 1 - LPIPS((1 - B) x, (1 - B) x')."""
    return 1 - masked_distance(distance, source, edit, ~area)


def at_target(distance: Distance, source: Picture, edit: Picture, regions: Sequence[tuple[Mask, Matrix]]) -> float:
    """IF_s2t = 1 - mean_i LPIPS(M_i^K warp(x), M_i^K x').

    Args:
        distance: LPIPS.
        source: x.
        edit: x'.
        regions: of each operation its source region M_i and its whole motion in pixels.
    """
    distances: list[float] = []
    for mask, matrix in regions:
        moved = geometry.warp(mask[None, None].float(), matrix, padding="zeros")[0, 0] > 0.5
        distances.append(masked_distance(distance, geometry.warp(source, matrix), edit, moved))
    return 1 - sum(distances) / len(distances)


def at_source(distance: Distance, source: Picture, edit: Picture, regions: Sequence[Mask]) -> float:
    """IF_s2s = 1 - mean_i LPIPS(M_i x, M_i x'): high when what should have gone is still there."""
    return 1 - sum(masked_distance(distance, source, edit, mask) for mask in regions) / len(regions)
