"""Regions that are the things under the handles, found in the picture (`dragflow.select`)."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np

from dragflow.bench.data.discs import Inferred, discs, grown, hull, operation, origin, pixels, radius
from dragflow.bench.data.fitting import Fit, Points, explain
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.task import MaskArray, Operation
from dragflow.pixels import masks
from dragflow.select import select_at

SHARE = 0.2
"""Of the mean displacement, what one motion of a thing may leave over: its pairs were set by eye."""
FITS = 0.85
"""Share of a thing that its motion must leave in the area for the whole of it to be meant."""
CUT = 0.04
"""Share of a thing's rim from which it counts as going on beyond the area."""


def things(begins: Points, targets: Points, image: Pixels, editable: Mask | None) -> Inferred | str:
    """A region for each thing with one motion; discs for pairs of a thing that have none in common.

    Gives why it cannot be, where the regions of two things are at the same place.
    """
    operations: list[Operation] = []
    texts: list[str] = []
    for own in _groups(begins, image, editable):
        found = _thing(begins[own], targets[own], image, editable)
        operations += found.operations
        texts.append(found.text)
    if not _apart(operations):
        return "the things under the points overlap"
    return Inferred(tuple(operations), ", ".join(texts))


def _groups(begins: Points, image: Pixels, editable: Mask | None) -> list[list[int]]:
    """Pairs by the thing that they are on: those whose handles are on each other's."""
    at = pixels(begins, image.shape[:2])
    found = (
        [select_at(image, [point], editable) for point in _points(begins, image.shape[:2])] if len(begins) > 1 else []
    )
    groups: list[list[int]] = []
    for i in range(len(begins)):
        joined = [g for g in groups if any(found[i][at[j, 1], at[j, 0]] or found[j][at[i, 1], at[i, 0]] for j in g)]
        groups = [g for g in groups if g not in joined] + [sorted([*chain(*joined), i])]
    return groups


def _points(begins: Points, size: tuple[int, int]) -> list[Point]:
    return [(x, y) for x, y in pixels(begins, size).tolist()]


def _thing(begins: Points, targets: Points, image: Pixels, editable: Mask | None) -> Inferred:
    """The region and motion of the pairs of one thing; discs where the thing as a whole cannot be meant."""
    size = image.shape[:2]
    fit = explain(begins, targets, share=SHARE)
    thing = None if fit is None else select_at(image, _points(begins, size), editable)
    if fit is None or thing is None or thing.all():
        return discs(begins, targets, size, editable, SHARE)
    cut = _going_on(thing, editable)
    if cut.any():  # what is near the end of the area stays, so that the thing has something that can stretch
        longest = float(np.hypot(*(targets - begins).T).max())
        thing &= ~grown(cut, longest) | grown(hull(begins, size), radius(longest, size))
    region = _piece(thing, begins)
    if region is None or not _fits(region, fit, editable):
        return discs(begins, targets, size, editable, SHARE)
    found = operation(region, fit, begins, size)
    text = f"the thing at the points, {origin(fit, len(begins))}"
    if not cut.any():
        return Inferred((found,), text)
    # A thing of which the area holds only some is a part of something, whatever its rim looks like.
    part = replace(found, motion=replace(found.motion, label="deformation"))
    return Inferred((part,), f"{text}, a part as it goes on beyond the mask")


def _piece(thing: Mask, begins: Points) -> Mask | None:
    """The connected part of a thing that all handles are on; None if they are on several."""
    labels, _ = masks.components(thing)
    at = pixels(begins, thing.shape)
    held = np.unique(labels[at[:, 1], at[:, 0]])
    return labels == held[0] if len(held) == 1 else None


def _going_on(thing: Mask, editable: Mask | None) -> Mask:
    """Where a thing meets the rim of the area; nowhere if it only touches it."""
    beside = np.zeros_like(thing) if editable is None else thing & masks.dilate(~editable, 1)
    rim = thing & masks.dilate(~thing, 1)
    return beside if beside.sum() >= CUT * rim.sum() else np.zeros_like(thing)


def _fits(region: Mask, fit: Fit, editable: Mask | None) -> bool:
    """Whether a motion leaves (nearly) all of a region in the area."""
    moved = masks.warp_mask(region, fit.matrix)
    shrinks = abs(np.linalg.det(np.array(fit.matrix)[:, :2]))
    return bool((moved if editable is None else moved & editable).sum() >= FITS * shrinks * region.sum())


def _apart(operations: list[Operation]) -> bool:
    taken = [op.region.array for op in operations if isinstance(op.region, MaskArray)]
    return bool(np.sum(taken, axis=0).max() <= 1)
