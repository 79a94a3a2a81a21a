"""ReD Bench samples: reading and writing (method Sec. 10)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.fields import Prompt
from dragflow.core.motion import Motion, Rotate, Translate, apply, motion_matrix
from dragflow.core.task import MOST_OPERATIONS, MOST_POINTS, Instruction, MaskArray, Operation
from dragflow.files import schema
from dragflow.files.atomic import write_folder
from dragflow.files.encoding import encode_png
from dragflow.files.masks import load_mask, mask_png
from dragflow.files.pictures import SourceImage, load_image
from dragflow.files.texts import read_text
from dragflow.pixels import masks
from dragflow.pixels.masks import format_point
from dragflow.pixels.resolve import resolve

IMAGE, REGIONS, AREA, INSTRUCTION = "original_image.png", "operation.png", "mask.png", "instruction.json"
NEEDED = (IMAGE, REGIONS, INSTRUCTION)
"""Files that every sample has."""


Kind = Literal["relocation", "transformation", "deformation", "rotation"]
"""What the format calls the task of a region."""


class RegionOperation(schema.Strict):
    """One region's task, its begin and target centroid, and its anchor."""

    task: Kind
    centroids: tuple[Point, Point]
    anchors: Point | None = None


class PointOperations(schema.Strict):
    """The same edit as point pairs, for point-based methods."""

    begin_points: list[Point] = Field(default_factory=list)
    target_points: list[Point] = Field(default_factory=list)


class SampleFile(schema.Strict):
    """instruction.json."""

    region_operations: Annotated[dict[str, RegionOperation], Field(min_length=1)]
    point_operations: PointOperations = PointOperations()
    background_prompt: str = ""
    editing_prompt: str = ""


class SampleFields(schema.Strict):
    """What a sample says beside its instruction; what is absent follows from that."""

    background_prompt: Prompt | None = Field(default=None, description="what the picture shows")
    editing_prompt: Prompt | None = Field(default=None, description="what the edit does")
    tasks: Annotated[list[Kind | None], Field(max_length=MOST_OPERATIONS)] = Field(
        default_factory=list, description="of every operation; null: as its motion says"
    )
    begin_points: Annotated[list[Point], Field(max_length=MOST_POINTS)] | None = Field(
        default=None, description="points of the same edit for point-based methods; the handles if absent"
    )
    target_points: Annotated[list[Point], Field(max_length=MOST_POINTS)] | None = Field(
        default=None, description="where these points go, in the same order"
    )


@dataclass(frozen=True, eq=False)
class RedBenchSample:
    """A sample: its picture, its instruction, and the point pairs that only point-based methods use."""

    image: SourceImage
    instruction: Instruction
    begin_points: tuple[Point, ...]
    target_points: tuple[Point, ...]
    centroids: tuple[tuple[Point, Point], ...]
    """Begin and target centroid of every operation."""


def load_red_bench(folder: Path) -> RedBenchSample:
    """Read a sample folder.

    Raises:
        UserError: a file is missing or not of the schema, or the regions do not match the operations.
    """
    for name in NEEDED:
        if not (folder / name).exists():
            raise UserError(f"{folder} is not a ReD Bench sample: it has no {name}")
    image = load_image(folder / IMAGE)
    sample = _load_file(folder / INSTRUCTION)
    operations = _operations(sample, folder, image.size)
    editable = MaskArray(load_mask(folder / AREA)) if (folder / AREA).exists() else None
    instruction = Instruction(operations, sample.background_prompt, sample.editing_prompt, editable)
    points = sample.point_operations
    centroids = tuple(entry.centroids for entry in sample.region_operations.values())
    return RedBenchSample(image, instruction, tuple(points.begin_points), tuple(points.target_points), centroids)


def sample_paths(folder: Path) -> list[Path]:
    """Everything in a sample folder that reading it may open, and that exists."""
    named = [folder / name for name in (*NEEDED, AREA, "temp")]
    return [path for path in (*named, *sorted((folder / "temp").glob("*"))) if path.exists()]


def _load_file(path: Path) -> SampleFile:
    data = schema.load_json(read_text(path, "instruction"), str(path))
    return schema.parse(TypeAdapter(SampleFile), data, str(path))


def _operations(sample: SampleFile, folder: Path, size: tuple[int, int]) -> tuple[Operation, ...]:
    path = folder / INSTRUCTION
    entries = sample.region_operations
    for key, entry in entries.items():
        if not masks.inside(entry.centroids[0], size):
            raise UserError(
                f"{path}: region_operations.{key}.centroids: {format_point(entry.centroids[0])} is outside "
                f"of the picture ({size[1]} x {size[0]})"
            )
    begins = {key: entry.centroids[0] for key, entry in entries.items()}
    regions = _own_masks(folder, list(entries)) or assign_regions(load_mask(folder / REGIONS), begins, size, path)
    return tuple(
        Operation(
            MaskArray(regions[key], invert=False),
            _motion(entry, f"{path}: region_operations.{key}"),
            entry.centroids[0],
        )
        for key, entry in entries.items()
    )


def _own_masks(folder: Path, keys: list[str]) -> dict[str, Mask] | None:
    """The masks in temp/, one for each operation; None unless all of them exist."""
    paths = {key: folder / "temp" / f"mask_orig__{key}.png" for key in keys}
    if not all(path.exists() for path in paths.values()):
        return None
    return {key: load_mask(path) for key, path in paths.items()}


def assign_regions(mask: Mask, begins: dict[str, Point], size: tuple[int, int], path: Path) -> dict[str, Mask]:
    """Separate the painted regions and assign each to the operation whose begin centroid is in it or nearest to it.

    Raises:
        UserError: no regions, touching or missing regions (two operations for one), or surplus regions.
    """
    if mask.shape != size:
        raise UserError(
            f"{path.parent / REGIONS} is {mask.shape[1]} x {mask.shape[0]}, the picture {size[1]} x {size[0]}"
        )
    labels, count = masks.components(mask)
    if count == 0:
        raise UserError(f"{path.parent / REGIONS} has no white region: paint one for each operation")
    owner: dict[int, str] = {}
    for key, begin in begins.items():
        label = masks.label_at(labels, begin)
        if label in owner:
            raise UserError(
                f"{path}: operations {owner[label]} and {key} are on the same region: regions touch or one is missing; "
                "paint them at least two pixels apart"
            )
        owner[label] = key
    if count > len(begins):
        surplus = [label for label in range(1, count + 1) if label not in owner]
        places = ", ".join(format_point(masks.centroid(labels == label)) for label in surplus[:3])
        raise UserError(
            f"{path}: {count} regions are painted for {len(begins)} operations; no operation begins in the one "
            f"at {places}: erase it, or add its operation"
        )
    return {key: labels == label for label, key in owner.items()}


def _motion(entry: RegionOperation, name: str) -> Motion:
    target = entry.centroids[1]
    if entry.task == "rotation":
        if entry.anchors is None:
            raise UserError(f"{name}.anchors is missing: a rotation needs an anchor")
        return Rotate(entry.anchors, to=target)
    return Translate(target, "deformation" if entry.task == "deformation" else "relocation")


def save_red_bench(folder: Path, source: SourceImage, instruction: Instruction) -> None:
    """Write a sample folder atomically; see `sample_files`.

    Raises:
        UserError: the folder exists and is not empty, or an operation has no ReD Bench task (scaling, affine).
    """
    write_folder(folder, sample_files(source, instruction))


def sample_files(source: SourceImage, instruction: Instruction, fields: SampleFields | None = None) -> dict[str, bytes]:
    """The files of a sample, by their paths in its folder; regions are as they were painted.

    Raises:
        UserError: an operation has no ReD Bench task (scaling, affine), or `fields` do not fit the operations.
    """
    said = fields or SampleFields()
    task = resolve(source.pixels, instruction.as_painted)
    kinds = _kinds(said, len(task.operations))
    entries = {
        str(i): _entry(operation.motion, operation.handle, kind, f"operation {i}")
        for i, (operation, kind) in enumerate(zip(task.operations, kinds, strict=True))
    }
    begins, targets = _points(said, list(entries.values()), source.size)
    data = SampleFile(
        region_operations=entries,
        point_operations=PointOperations(begin_points=begins, target_points=targets),
        background_prompt=instruction.prompt if said.background_prompt is None else said.background_prompt,
        editing_prompt=instruction.edit_prompt if said.editing_prompt is None else said.editing_prompt,
    )
    union = np.logical_or.reduce([operation.mask for operation in task.operations])
    files = {
        IMAGE: encode_png(source, source.pixels),
        REGIONS: mask_png(union),
        INSTRUCTION: (data.model_dump_json(indent=4) + "\n").encode(),
    }
    for i, operation in enumerate(task.operations):  # kept apart, so that regions that touch stay two
        files[f"temp/mask_orig__{i}.png"] = mask_png(operation.mask)
    if instruction.editable is not None or instruction.protect is not None:
        files[AREA] = mask_png(task.area)
    return files


def _kinds(said: SampleFields, count: int) -> list[Kind | None]:
    if said.tasks and len(said.tasks) != count:
        raise UserError(f"`tasks` has {len(said.tasks)} entries for {count} operations: give one for each, or none")
    return said.tasks or [None] * count


def _points(
    said: SampleFields, entries: list[RegionOperation], size: tuple[int, int]
) -> tuple[list[Point], list[Point]]:
    """Begin and target points; those of the regions where none are said."""
    begins, targets = said.begin_points, said.target_points
    if begins is None and targets is None:
        return [entry.centroids[0] for entry in entries], [entry.centroids[1] for entry in entries]
    if len(begins or []) != len(targets or []):
        raise UserError(
            f"{len(begins or [])} `begin_points` and {len(targets or [])} `target_points` are given: give pairs"
        )
    for name, points in (("begin_points", begins or []), ("target_points", targets or [])):
        for i, point in enumerate(points):
            if not masks.inside(point, size):
                at = format_point(point)
                raise UserError(f"`{name}.{i}`: {at} is outside of the picture ({size[1]} x {size[0]})")
    return begins or [], targets or []


def _entry(motion: Motion, handle: Point, kind: Kind | None, name: str) -> RegionOperation:
    if motion.label == "copy":
        raise UserError(f"{name} copies its region: ReD Bench has relocation, deformation and rotation only")
    if isinstance(motion, Translate):
        if kind == "rotation":
            raise UserError(f"{name} moves without turning: its task is relocation, transformation or deformation")
        return RegionOperation(task=kind or motion.label or "relocation", centroids=(handle, motion.to))
    if isinstance(motion, Rotate):
        if kind not in (None, "rotation"):
            raise UserError(f"{name} turns: its task is rotation, not {kind}")
        if motion.degrees is not None and (math.dist(handle, motion.about) < 1 or abs(motion.degrees) > 180):
            raise UserError(f"{name}: ReD Bench gives the angle by a target point, which cannot express this rotation")
        target = motion.to or apply(motion_matrix(motion, handle), handle)
        return RegionOperation(task="rotation", centroids=(handle, target), anchors=motion.about)
    raise UserError(
        f"{name}: ReD Bench has relocation, deformation and rotation only, not {type(motion).__name__.lower()}"
    )
