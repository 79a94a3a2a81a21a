"""Drag100 of GoodDrag (Zhang et al. 2024): a picture, an editable mask, point pairs."""

from __future__ import annotations

from dragflow.bench.data.parts import Kind, Place, PointsFile, alternating, point_sample, read_json, read_mask, require
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.files.pictures import load_image

IMAGE, MASK, POINTS = "original.jpg", "mask.png", "points.json"


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample.

    Raises:
        UserError: what is wrong with it.
    """
    require(place.folder, IMAGE, MASK, POINTS)
    image = load_image(place.folder / IMAGE)
    points = read_json(place.folder / POINTS, PointsFile).points
    pairs = alternating(points, image.size, f"{place.folder / POINTS}: points")
    return point_sample(place, rule, image, pairs, read_mask(place.folder / MASK, image.size))


KIND = Kind("Drag100", POINTS, lambda files: POINTS in files, load)
