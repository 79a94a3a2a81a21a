"""Two regions that change places: two relocations, centroid to centroid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dragflow.core.arrays import Point
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Cut, Operation, Polygon, Region, as_region
from dragflow.files.masks import frozen
from dragflow.pixels import masks

if TYPE_CHECKING:
    from dragflow.core.task import RegionLike


def swap(
    first: RegionLike, second: RegionLike, cut: Cut | None = None, behind: RegionLike | bool | None = None
) -> tuple[Operation, Operation]:
    """The operations that make two regions change places.

    Args:
        first: a region, or what is taken for one.
        second: the other.
        cut: how both are cut out; see `Operation.cut`.
        behind: what stays in front of both, so that each is as deep in the picture as the other was; see
            `Operation.behind`.

    Raises:
        UserError: a mask that cannot be read, or a region without a pixel.
    """
    pairs = [_read(first, "the first region of a swap"), _read(second, "the second region of a swap")]
    (one, here), (other, there) = pairs
    return (
        Operation(one, Translate(there, "relocation"), here, cut, behind),
        Operation(other, Translate(here, "relocation"), there, cut, behind),
    )


def _read(asked: RegionLike, name: str) -> tuple[Region, Point]:
    """A region, and its centroid, which is the same in any picture that holds it."""
    region = as_region(asked)
    if isinstance(region, Box):
        return region, _centroid(region, (region.right, region.bottom), name)
    if isinstance(region, Polygon):
        return region, _centroid(region, (max(x for x, _ in region.points), max(y for _, y in region.points)), name)
    mask = frozen(region, name)
    h, w = np.asarray(mask.array).shape[:2]
    return mask, _centroid(mask, (w - 1, h - 1), name)


def _centroid(region: Region, corner: Point, name: str) -> Point:
    size = (max(1, math.ceil(corner[1]) + 1), max(1, math.ceil(corner[0]) + 1))
    return masks.centroid(masks.rasterise(region, size, name, whole=True))
