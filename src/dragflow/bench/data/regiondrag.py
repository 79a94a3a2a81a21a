"""DragBench-DR and -SR of RegionDrag (Lu et al. 2024): the same pictures with regions, given as dense point pairs."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.bench.data.discs import pixels
from dragflow.bench.data.dragbench import IMAGE, META, read_meta
from dragflow.bench.data.fitting import Fit, Points, as_motion, explain, mean_point, nearest
from dragflow.bench.data.parts import Kind, Place, instruction, partial, require
from dragflow.bench.data.points import SMALLEST, RegionRule, merge
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.motion import apply
from dragflow.core.task import MaskArray, Operation
from dragflow.files.pictures import load_image
from dragflow.pixels import masks

REGION_META = "meta_data_region.pkl"

STRETCH = (0.1, 10.0)
"""Regions are drawn by hand, so a large stretch is meant; factors beyond these are a failure of the fit."""


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample; `rule` is not used, because regions are given.

    Raises:
        UserError: what is wrong with it.
    """
    folder = place.folder
    require(folder, IMAGE, REGION_META)
    image = load_image(folder / IMAGE)
    meta = read_meta(folder / REGION_META, image.size)
    regions = _regions(*merge(meta.begins, meta.targets), image.size)
    if not regions:
        raise UserError(
            f"{folder / REGION_META}: no region moves by {SMALLEST} pixels or more, so there is nothing to drag"
        )
    operations = tuple(
        Operation(MaskArray(region, invert=False), as_motion(fit, handle, image.size), handle)
        for region, handle, fit in regions
    )
    points = [(handle, apply(fit.matrix, handle)) for _, handle, fit in regions]
    if (folder / META).exists():
        annotated = read_meta(folder / META, image.size)
        points = list(zip(annotated.begins, annotated.targets, strict=True))
    editable, note = partial(meta.mask)
    origin = ", ".join(fit.name for *_, fit in regions)
    return Sample(
        id=place.id,
        category=place.category,
        image=image,
        instruction=instruction(operations, meta.prompt, editable),
        begin_points=tuple(begin for begin, _ in points),
        target_points=tuple(target for _, target in points),
        inferred="; ".join((f"{origin} from {len(meta.begins)} dense pairs", *note)),
    )


KIND = Kind("DragBench-DR/SR", REGION_META, lambda files: REGION_META in files, load)


def _regions(begins: Points, targets: Points, size: tuple[int, int]) -> list[tuple[Mask, Point, Fit]]:
    """Each connected source region that moves, with its handle and its motion."""
    at = pixels(begins, size)
    radius = _bridging_radius(at)
    labels, count = masks.components(masks.dilate(_dots(at, size), radius))
    owners = labels[at[:, 1], at[:, 0]]
    regions: list[tuple[Mask, Point, Fit]] = []
    for label in range(1, count + 1):
        own = owners == label
        begin, target = begins[own], targets[own]
        if np.hypot(*(target - begin).T).max() >= SMALLEST:
            fit = explain(begin, target, STRETCH) or nearest(begin, target, STRETCH)
            regions.append((_closed(_dots(at[own], size), radius), mean_point(begin), fit))
    return regions


def _bridging_radius(at: NDArray[np.int32]) -> int:
    """Radius by which the source pixels (n, 2) are dilated to join into areas.

    Half the distance to the eighth neighbour bridges the gaps of a grid in both directions, regardless of its steps:
    pairs may be 8 pixels apart, or further where a region shrinks.
    """
    from scipy.spatial import KDTree

    near = min(8, len(at) - 1)
    return math.ceil(float(np.median(KDTree(at).query(at, near + 1)[0][:, -1])) / 2) if near else 0


def _dots(at: NDArray[np.int32], size: tuple[int, int]) -> Mask:
    dots = np.zeros(size, np.bool_)
    dots[at[:, 1], at[:, 0]] = True
    return dots


def _closed(dots: Mask, radius: int) -> Mask:
    """Morphological closing by a disc; padded, so that a region at the border of the picture is not eroded there."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    h, w = dots.shape
    closed = cv2.morphologyEx(np.pad(dots, radius).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    return closed[radius : radius + h, radius : radius + w] > 0
