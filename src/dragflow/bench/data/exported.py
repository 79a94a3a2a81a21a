"""Scenes of the procedural world that were written as ReD Bench folders (`dragflow.world.export`), told by world.json.

ReD Bench cannot say a scaling, and tells regions apart by their outlines; world.json says the motion in full, and an
object that something hides in part stays one region.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dragflow.bench.data.parts import Kind, Place, read_json, read_mask, require
from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.redbench import TARGET_MASK, TRUTH, read_target
from dragflow.bench.data.world import Drawn, as_sample
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Point
from dragflow.files.pictures import load_image
from dragflow.files.red_bench import AREA, IMAGE, REGIONS
from dragflow.files.schema import Strict
from dragflow.world import motion as motions
from dragflow.world.cases import Context

WORLD = "world.json"

Row = tuple[float, float, float]


class Translation(Strict):
    """Moved by an offset; the centroid of the mask goes to `to`."""

    type: Literal["translate"]
    matrix: tuple[Row, Row]
    to: Point

    def drawn(self) -> motions.Motion:
        """As the world has it."""
        return motions.Motion("translate", self.matrix)


class Rotation(Strict):
    """Turned about an anchor."""

    type: Literal["rotate"]
    matrix: tuple[Row, Row]
    about: Point
    degrees: float

    def drawn(self) -> motions.Motion:
        """As the world has it."""
        return motions.Motion("rotate", self.matrix, self.about, self.degrees)


class Scaling(Strict):
    """Scaled about an anchor."""

    type: Literal["scale"]
    matrix: tuple[Row, Row]
    about: Point
    factor: float

    def drawn(self) -> motions.Motion:
        """As the world has it."""
        return motions.Motion("scale", self.matrix, self.about, None, self.factor)


class Stretching(Strict):
    """Any affine map; the world draws stretches from a seam."""

    type: Literal["affine"]
    matrix: tuple[Row, Row]
    about: Point | None = None
    factor: float | None = None

    def drawn(self) -> motions.Motion:
        """As the world has it."""
        return motions.Motion("affine", self.matrix, self.about, None, self.factor)


class WorldFile(Strict):
    """world.json."""

    seed: int
    kind: Annotated[str, Field(min_length=1)]
    object: str
    motion: Annotated[Translation | Rotation | Scaling | Stretching, Field(discriminator="type")]
    context: Context
    caption: str
    edit: str


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one scene, as `data.world` draws it; `rule` says nothing here, for the region is painted.

    Raises:
        UserError: what is wrong with it.
    """
    folder = place.folder
    require(folder, IMAGE, REGIONS, AREA, TRUTH, TARGET_MASK, WORLD)
    image = load_image(folder / IMAGE)
    told = read_json(folder / WORLD, WorldFile)
    truth, target_mask = read_target(folder, image.size)
    drawn = Drawn(
        kind=told.kind,
        image=image,
        mask=read_mask(folder / REGIONS, image.size),
        area=read_mask(folder / AREA, image.size),
        motion=told.motion.drawn(),
        truth=truth,
        target_mask=target_mask,
        caption=told.caption,
        edit=told.edit,
        context=told.context,
    )
    return as_sample(place.id, drawn)


KIND = Kind("dragflow world", WORLD, lambda files: WORLD in files, load)
