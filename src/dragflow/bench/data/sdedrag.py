"""The DragBench of SDE-Drag (Nie et al. 2024), which later papers call DragBench-S."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dragflow.bench.data.parts import Kind, Place, check_inside, point_sample, read_json, read_mask, require
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Point
from dragflow.core.errors import UserError
from dragflow.files.pictures import load_image
from dragflow.files.schema import Strict

IMAGE, MASK, PROMPT = "origin_image.png", "mask.png", "prompt.json"

Points = Annotated[list[Point], Field(min_length=1)]


class DragFile(Strict):
    """prompt.json."""

    prompt: str
    source: Points
    target: Points


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample.

    Raises:
        UserError: what is wrong with it.
    """
    path = place.folder / PROMPT
    require(place.folder, IMAGE, MASK, PROMPT)
    image = load_image(place.folder / IMAGE)
    drag = read_json(path, DragFile)
    if len(drag.source) != len(drag.target):
        raise UserError(f"{path}: {len(drag.source)} source and {len(drag.target)} target points: they must be pairs")
    check_inside(drag.source, image.size, f"{path}: source")
    check_inside(drag.target, image.size, f"{path}: target")
    pairs = (tuple(drag.source), tuple(drag.target))
    return point_sample(place, rule, image, pairs, read_mask(place.folder / MASK, image.size), drag.prompt)


KIND = Kind("DragBench-S", IMAGE, lambda files: IMAGE in files, load)
