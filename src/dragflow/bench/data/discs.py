"""Regions around handles where nothing better is known: a disc for each, or the grown hull of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.bench.data.fitting import RESIDUAL_SHARE, Fit, Points, as_motion, explain, mean_point, translation
from dragflow.core.arrays import Mask
from dragflow.core.task import MaskArray, Operation
from dragflow.pixels import masks

RADIUS = (1 / 64, 1 / 10)
"""Least and largest radius, as shares of the picture's shorter side."""
REACH = 0.5
"""How far a handle may be outside of the mask, in radii."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """Operations, and in a few words how they were inferred."""

    operations: tuple[Operation, ...]
    text: str


def radius(displacement: float, size: tuple[int, int]) -> float:
    """Radius of a disc for a drag of this length: the one of MD2, within limits."""
    # At least 1, so that a disc has more pixels than its centre.
    least, largest = (max(share * min(size), 1) for share in RADIUS)
    return min(max(displacement / math.sqrt(2), least), largest)


def discs(
    begins: Points,
    targets: Points,
    size: tuple[int, int],
    editable: Mask | None,
    share: float = RESIDUAL_SHARE,
) -> Inferred:
    """One region around all handles where one motion explains all pairs, else a disc for each."""
    lengths = np.hypot(*(targets - begins).T)
    labels = None if editable is None else masks.components(editable)[0]
    fit = explain(begins, targets, share=share)
    if fit is not None:
        r = radius(float(lengths.max()), size)
        region, cut = _cut(grown(hull(begins, size), r), begins, fit, r, labels)
        shape = (
            f"disc of radius {r:.0f} px" if len(begins) == 1 else f"hull of {len(begins)} points grown by {r:.0f} px"
        )
        return Inferred((operation(region, fit, begins, size),), f"{shape}{cut}, {origin(fit, len(begins))}")
    # No one motion explains the pairs: each gets a disc. They are made disjoint, so that no pixel has two motions.
    radii = [radius(float(length), size) for length in lengths]
    operations: list[Operation] = []
    for region, r, begin, target in zip(own_discs(begins, radii, size), radii, begins, targets, strict=True):
        own = translation(begin[None], target[None])
        region, _ = _cut(region, begin[None], own, r, labels)
        operations.append(operation(region, own, begin[None], size))
    spread = f"{min(radii):.0f} to {max(radii):.0f}" if round(min(radii)) < round(max(radii)) else f"{radii[0]:.0f}"
    return Inferred(tuple(operations), f"discs of radius {spread} px, each of {len(begins)} pairs its own translation")


def operation(region: Mask, fit: Fit, begins: Points, size: tuple[int, int]) -> Operation:
    """A region with the motion of its pairs; its handle is the mean of their begin points."""
    handle = mean_point(begins)
    return Operation(MaskArray(region, invert=False), as_motion(fit, handle, size), handle)


def origin(fit: Fit, count: int) -> str:
    """Which motion was fitted to how many pairs, in words."""
    return f"{fit.name} from {count} pair{'s' if count > 1 else ''}"


def grown(mask: Mask, radius: float) -> Mask:
    """The mask grown by `radius`: all pixels whose centre is at most so far from one of its pixels."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= radius)


def pixels(points: Points, size: tuple[int, int]) -> NDArray[np.int32]:
    """The pixels (n, 2) that contain the points, on a picture of `size` (h, w)."""
    return np.clip(np.rint(points), 0, (size[1] - 1, size[0] - 1)).astype(np.int32)


def hull(points: Points, size: tuple[int, int]) -> Mask:
    """The convex hull of points."""
    filled = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(pixels(points, size)), 1)
    return filled > 0


def own_discs(centres: Points, radii: Sequence[float], size: tuple[int, int]) -> list[Mask]:
    """A disc around each point; a pixel in several belongs to the nearest point."""
    best = np.full(size, np.inf, np.float32)
    owner = np.full(size, -1, np.int32)
    ys, xs = np.ogrid[: size[0], : size[1]]
    for i, ((x, y), r) in enumerate(zip(centres, radii, strict=True)):
        distance = np.hypot(xs - x, ys - y).astype(np.float32)
        won = (distance <= r) & (distance < best)
        owner[won], best[won] = i, distance[won]
    return [owner == i for i in range(len(centres))]


def _cut(region: Mask, handles: Points, fit: Fit, r: float, labels: NDArray[np.int32] | None) -> tuple[Mask, str]:
    """The region inside the parts of the mask that its handles are in or near, and a note if they are far from it.

    A handle far from the mask leaves its region whole: a sliver of some other part of the mask would not be what was
    meant. A cut that the motion would carry out of the picture leaves it whole, too.
    """
    if labels is None:
        return region, ""
    held: set[int] = set()
    for handle in handles:
        label = masks.label_at(labels, mean_point(handle[None]))
        if not (grown(hull(handle[None], region.shape), REACH * r) & (labels == label)).any():  # pyright: ignore[reportArgumentType]
            return region, " (the mask is far from it)"
        held.add(label)
    cut = region & np.isin(labels, list(held))
    return (cut, "") if masks.warp_mask(cut, fit.matrix).any() else (region, "")
