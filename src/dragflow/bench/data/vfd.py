"""VFD-Bench of FlowDrag (Koo et al. 2025): two frames of a video, so that the true picture after the drag is known."""

from __future__ import annotations

from dragflow.bench.data.parts import (
    Kind,
    Place,
    PointsFile,
    alternating,
    point_sample,
    read_json,
    read_mask,
    read_truth,
    require,
)
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.files.pictures import load_image
from dragflow.files.schema import Strict

IMAGE, TRUTH, MASK, POINTS, PROMPT = "input.png", "gt.png", "mask.png", "points.json", "prompt.json"


class PromptFile(Strict):
    """prompt.json."""

    prompt: str


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample.

    Raises:
        UserError: what is wrong with it.
    """
    folder = place.folder
    require(folder, IMAGE, TRUTH, MASK, POINTS, PROMPT)
    image = load_image(folder / IMAGE)
    points = read_json(folder / POINTS, PointsFile).points
    return point_sample(
        place,
        rule,
        image,
        alternating(points, image.size, f"{folder / POINTS}: points"),
        read_mask(folder / MASK, image.size),
        read_json(folder / PROMPT, PromptFile).prompt,
        read_truth(folder / TRUTH, image.size),
    )


KIND = Kind(
    "VFD-Bench",
    f"{IMAGE} or {TRUTH} with {POINTS}",
    lambda files: POINTS in files and bool(files & {IMAGE, TRUTH}),
    load,
)
