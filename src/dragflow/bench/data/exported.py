"""Scenes of the procedural world, written as ReD Bench folders (`dragflow.world.export`) that hold a world.json.

ReD Bench has no scaling, and separates regions by their outlines. world.json has the whole motion, and an object that
is partly hidden stays one region.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dragflow.bench.data.parts import Kind, Place, read_json, read_mask, require
from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.redbench import TARGET_MASK, TRUTH, read_target
from dragflow.bench.data.world import Drawn, as_sample
from dragflow.bench.sample import Sample
from dragflow.files.pictures import load_image
from dragflow.files.red_bench import AREA, IMAGE, REGIONS
from dragflow.files.schema import Strict
from dragflow.world.cases import Context
from dragflow.world.motion import Motion

WORLD = "world.json"


class WorldFile(Strict):
    """world.json."""

    seed: int
    kind: Annotated[str, Field(min_length=1)]
    object: str
    motion: Motion
    context: Context
    caption: str
    edit: str


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one scene, like one that `data.world` draws; `rule` is not used, because the region is painted.

    Raises:
        UserError: what is wrong with it.
    """
    folder = place.folder
    require(folder, IMAGE, REGIONS, AREA, TRUTH, TARGET_MASK, WORLD)
    image = load_image(folder / IMAGE)
    described = read_json(folder / WORLD, WorldFile)
    truth, target_mask = read_target(folder, image.size)
    drawn = Drawn(
        kind=described.kind,
        image=image,
        mask=read_mask(folder / REGIONS, image.size),
        area=read_mask(folder / AREA, image.size),
        motion=described.motion,
        truth=truth,
        target_mask=target_mask,
        caption=described.caption,
        edit=described.edit,
        context=described.context,
    )
    return as_sample(place.id, drawn)


KIND = Kind("dragflow world", WORLD, lambda files: WORLD in files, load)
