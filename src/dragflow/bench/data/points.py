"""Regions and motions inferred from point pairs, by the rule in docs/data-sets.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.bench.data.fitting import Fit, Points, as_motion, explain, mean_point, translation
from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.task import MaskArray, Operation
from dragflow.pixels import masks

RegionRule = Literal["disc", "mask"]
"""`disc`: regions around the handles. `mask`: the connected part of the editable mask that a handle is in."""

SMALLEST = 0.5
"""Pixels that a pair must move to count."""
RADIUS = (1 / 64, 1 / 10)
"""Least and largest radius, as shares of the picture's shorter side."""
REACH = 0.5
"""How far a handle may be outside of the mask, in radii."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """Operations, and in a few words how they were inferred."""

    operations: tuple[Operation, ...]
    text: str


def infer(
    begins: Sequence[Point], targets: Sequence[Point], size: tuple[int, int], editable: Mask | None, rule: RegionRule
) -> Inferred:
    """Regions and motions for point pairs on a picture of `size` (h, w).

    Args:
        begins: handle points.
        targets: where each goes.
        size: of the picture.
        editable: (h, w), where the picture may change; None for everywhere.
        rule: which regions.

    Raises:
        UserError: no pair moves.
    """
    merged = merge(begins, targets)
    moves = np.hypot(*(merged[1] - merged[0]).T) >= SMALLEST
    if not moves.any():
        raise UserError(f"no point pair moves by {SMALLEST} pixels or more, so there is nothing to drag: set a target")
    moving = (merged[0][moves], merged[1][moves])
    notes: list[str] = []
    if len(moves) < len(begins):
        notes.append(f"{len(begins)} pairs begin at {len(moves)} places: their means")
    if not moves.all():
        notes.append(f"{int((~moves).sum())} without motion left out")
    inferred = _parts(*moving, size, editable) if rule == "mask" else None
    if isinstance(inferred, str):
        notes.append(inferred)
    if not isinstance(inferred, Inferred):
        inferred = _discs(*moving, size, editable)
    return Inferred(inferred.operations, "; ".join((inferred.text, *notes)))


def merge(begins: Sequence[Point], targets: Sequence[Point]) -> tuple[Points, Points]:
    """Begin and target points as arrays (n, 2), in their order; pairs that begin in one pixel become their mean."""
    pairs = np.concatenate([np.array(begins, float), np.array(targets, float)], axis=1)
    _, first, place, counts = np.unique(
        np.rint(pairs[:, :2]), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(first), 4))
    np.add.at(sums, place.reshape(-1), pairs)
    means = (sums / counts[:, None])[np.argsort(first)]  # np.unique sorts by place: back to the order of the pairs
    return means[:, :2], means[:, 2:]


def radius(displacement: float, size: tuple[int, int]) -> float:
    """Radius of a disc for a drag of this length: the one of MD2, within limits."""
    # At least 1, so that a disc has more pixels than its centre.
    least, largest = (max(share * min(size), 1) for share in RADIUS)
    return min(max(displacement / math.sqrt(2), least), largest)


def _discs(begins: Points, targets: Points, size: tuple[int, int], editable: Mask | None) -> Inferred:
    """One region around all handles where one motion explains all pairs, else a disc for each."""
    lengths = np.hypot(*(targets - begins).T)
    labels = None if editable is None else masks.components(editable)[0]
    fit = explain(begins, targets)
    if fit is not None:
        r = radius(float(lengths.max()), size)
        region, cut = _cut(grown(_hull(begins, size), r), begins, fit, r, labels)
        shape = (
            f"disc of radius {r:.0f} px" if len(begins) == 1 else f"hull of {len(begins)} points grown by {r:.0f} px"
        )
        return Inferred((_operation(region, fit, begins, size),), f"{shape}{cut}, {_origin(fit, len(begins))}")
    # No one motion explains the pairs: each gets a disc. They are made disjoint, so that no pixel has two motions.
    radii = [radius(float(length), size) for length in lengths]
    operations: list[Operation] = []
    for region, r, begin, target in zip(_own_discs(begins, radii, size), radii, begins, targets, strict=True):
        own = translation(begin[None], target[None])
        region, _ = _cut(region, begin[None], own, r, labels)
        operations.append(_operation(region, own, begin[None], size))
    spread = f"{min(radii):.0f} to {max(radii):.0f}" if round(min(radii)) < round(max(radii)) else f"{radii[0]:.0f}"
    return Inferred(tuple(operations), f"discs of radius {spread} px, each of {len(begins)} pairs its own translation")


def _operation(region: Mask, fit: Fit, begins: Points, size: tuple[int, int]) -> Operation:
    handle = mean_point(begins)
    return Operation(MaskArray(region, invert=False), as_motion(fit, handle, size), handle)


def _origin(fit: Fit, count: int) -> str:
    return f"{fit.name} from {count} pair{'s' if count > 1 else ''}"


def _parts(begins: Points, targets: Points, size: tuple[int, int], editable: Mask | None) -> Inferred | str:
    """The parts of the mask that hold handles (or are nearest to them) as regions; or why that cannot be."""
    if editable is None:
        return "the mask covers the whole picture and cannot be a region"
    labels, _ = masks.components(editable)
    owners = np.array([masks.label_at(labels, mean_point(begin[None])) for begin in begins])
    operations: list[Operation] = []
    origins: list[str] = []
    for owner in dict.fromkeys(owners.tolist()):
        own = owners == owner
        fit = explain(begins[own], targets[own])
        if fit is None:
            return "pairs in one part of the mask move apart, so it cannot be a region"
        region = labels == owner
        if not masks.warp_mask(region, fit.matrix).any():
            return "a part of the mask would leave the picture, so it cannot be a region"
        operations.append(_operation(region, fit, begins[own], size))
        origins.append(_origin(fit, int(own.sum())))
    parts = "the mask's part" if len(operations) == 1 else f"{len(operations)} parts of the mask"
    return Inferred(tuple(operations), f"{parts} at the points, {', '.join(origins)}")


def grown(mask: Mask, radius: float) -> Mask:
    """The mask grown by `radius`: all pixels whose centre is at most so far from one of its pixels."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= radius)


def pixels(points: Points, size: tuple[int, int]) -> NDArray[np.int32]:
    """The pixels (n, 2) that contain the points, on a picture of `size` (h, w)."""
    return np.clip(np.rint(points), 0, (size[1] - 1, size[0] - 1)).astype(np.int32)


def _hull(points: Points, size: tuple[int, int]) -> Mask:
    filled = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(pixels(points, size)), 1)
    return filled > 0


def _own_discs(centres: Points, radii: Sequence[float], size: tuple[int, int]) -> list[Mask]:
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
        if not (grown(_hull(handle[None], region.shape), REACH * r) & (labels == label)).any():  # pyright: ignore[reportArgumentType]
            return region, " (the mask is far from it)"
        held.add(label)
    cut = region & np.isin(labels, list(held))
    return (cut, "") if masks.warp_mask(cut, fit.matrix).any() else (region, "")
