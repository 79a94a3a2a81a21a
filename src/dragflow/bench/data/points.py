"""Regions and motions inferred from point pairs, by the rule in docs/data-sets.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from dragflow.bench.data.discs import Inferred, discs, operation, origin
from dragflow.bench.data.fitting import Points, explain, mean_point
from dragflow.bench.data.things import things
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.core.task import Operation
from dragflow.pixels import masks

RegionRule = Literal["disc", "thing", "mask"]
"""`disc`: regions around the handles. `thing`: what the handles are on, found in the picture. `mask`: the connected
part of the editable mask that a handle is in."""
DEFAULT_RULE: RegionRule = "thing"

SMALLEST = 0.5
"""Pixels that a pair must move to count."""


def infer(
    begins: Sequence[Point], targets: Sequence[Point], image: Pixels, editable: Mask | None, rule: RegionRule
) -> Inferred:
    """Regions and motions for point pairs on a picture (H, W, 3).

    Args:
        begins: handle points.
        targets: where each goes.
        image: the picture.
        editable: (H, W), where the picture may change; None for everywhere.
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
    inferred = _by_rule(*moving, image, editable, rule)
    if isinstance(inferred, str):
        notes.append(inferred)
        inferred = discs(*moving, image.shape[:2], editable)
    return Inferred(inferred.operations, "; ".join((inferred.text, *notes)))


def _by_rule(begins: Points, targets: Points, image: Pixels, editable: Mask | None, rule: RegionRule) -> Inferred | str:
    """What the rule gives; or why it gives nothing here, so that discs are taken."""
    size = image.shape[:2]
    if rule == "mask":
        return _parts(begins, targets, size, editable)
    return things(begins, targets, image, editable) if rule == "thing" else discs(begins, targets, size, editable)


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
        operations.append(operation(region, fit, begins[own], size))
        origins.append(origin(fit, int(own.sum())))
    parts = "the mask's part" if len(operations) == 1 else f"{len(operations)} parts of the mask"
    return Inferred(tuple(operations), f"{parts} at the points, {', '.join(origins)}")
