"""DragBench-DR and -SR of RegionDrag (Lu et al. 2024): the same pictures with regions, told as dense point pairs."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.bench.data.dragbench import IMAGE, META, read_meta
from dragflow.bench.data.fitting import Fit, Points, as_motion, explain, mean_point, nearest
from dragflow.bench.data.parts import Kind, Place, instruction, partial, require
from dragflow.bench.data.points import SMALLEST, RegionRule, label_of, merge, pixels
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.motion import apply
from dragflow.core.task import MaskArray, Operation
from dragflow.files.pictures import load_image
from dragflow.pixels import masks

REGION_META = "meta_data_region.pkl"

STRETCH = (0.1, 10.0)
"""Regions are drawn, so that stretching one far is meant; beyond this it is a mistake of the fit."""


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample; `rule` says nothing here, for regions are given.

    Raises:
        UserError: what is wrong with it.
    """
    folder = place.folder
    require(folder, IMAGE, REGION_META)
    image = load_image(folder / IMAGE)
    meta = read_meta(folder / REGION_META, image.size)
    found = _regions(*merge(meta.begins, meta.targets), image.size)
    if not found:
        raise UserError(
            f"{folder / REGION_META}: no region moves by {SMALLEST} pixels or more: nothing is to be dragged"
        )
    operations = tuple(
        Operation(MaskArray(region), as_motion(fit, handle, image.size, label_of(region, fit.matrix)), handle)
        for region, handle, fit in found
    )
    points = [(handle, apply(fit.matrix, handle)) for _, handle, fit in found]
    if (folder / META).exists():
        annotated = read_meta(folder / META, image.size)
        points = list(zip(annotated.begins, annotated.targets, strict=True))
    editable, note = partial(meta.mask)
    how = ", ".join(fit.name for *_, fit in found)
    return Sample(
        id=place.id,
        category=place.category,
        image=image,
        instruction=instruction(operations, meta.prompt, editable),
        begin_points=tuple(begin for begin, _ in points),
        target_points=tuple(target for _, target in points),
        inferred="; ".join((f"{how} from {len(meta.begins)} dense pairs", *note)),
    )


KIND = Kind("DragBench-DR/SR", REGION_META, lambda files: REGION_META in files, load)


def _regions(begins: Points, targets: Points, size: tuple[int, int]) -> list[tuple[Mask, Point, Fit]]:
    """Each connected source region that moves, with its handle and its motion."""
    at = pixels(begins, size)
    r = _bridge(at)
    labels, count = masks.components(masks.dilate(_dots(at, size), r))
    owners = labels[at[:, 1], at[:, 0]]
    found: list[tuple[Mask, Point, Fit]] = []
    for own in (owners == label for label in range(1, count + 1)):
        b, t = begins[own], targets[own]
        if np.hypot(*(t - b).T).max() >= SMALLEST:
            fit = explain(b, t, STRETCH) or nearest(b, t, STRETCH)
            found.append((_closed(_dots(at[own], size), r), mean_point(b), fit))
    return found


def _bridge(at: NDArray[np.int32]) -> int:
    """Radius by which the source pixels (n, 2) are joined to areas.

    Half the distance to the eighth neighbour bridges the gaps of a grid in both directions, whatever its steps: pairs
    may lie 8 pixels apart, or further where a region shrinks.
    """
    from scipy.spatial import KDTree

    near = min(8, len(at) - 1)
    return math.ceil(float(np.median(KDTree(at).query(at, near + 1)[0][:, -1])) / 2) if near else 0


def _dots(at: NDArray[np.int32], size: tuple[int, int]) -> Mask:
    dots = np.zeros(size, np.bool_)
    dots[at[:, 1], at[:, 0]] = True
    return dots


def _closed(dots: Mask, r: int) -> Mask:
    """Morphological closing by a disc; the border of the picture does not eat into a region at it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
    h, w = dots.shape
    return cv2.morphologyEx(np.pad(dots, r).astype(np.uint8), cv2.MORPH_CLOSE, disc)[r : r + h, r : r + w] > 0
