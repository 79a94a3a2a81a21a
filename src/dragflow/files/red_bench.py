"""ReD Bench samples: reading and writing (method Sec. 10)."""

from __future__ import annotations

import io as stdio
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field, TypeAdapter

from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.motion import Motion, Rotate, Translate, motion_matrix
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files import schema
from dragflow.files.atomic import write_folder
from dragflow.files.masks import load_mask
from dragflow.files.pictures import SourceImage, encode_png, load_image
from dragflow.files.texts import read_text
from dragflow.pixels import masks
from dragflow.pixels.masks import format_point
from dragflow.pixels.resolve import resolve

IMAGE, REGIONS, AREA, INSTRUCTION = "original_image.png", "operation.png", "mask.png", "instruction.json"


class RegionOperation(schema.Strict):
    """One region's task, its begin and target centroid, and its anchor."""

    task: Literal["relocation", "transformation", "deformation", "rotation"]
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
    for name in (IMAGE, REGIONS, INSTRUCTION):
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
    """Write a sample folder atomically.

    Raises:
        UserError: the folder exists and is not empty, or an operation has no ReD Bench task (scaling, affine).
    """
    task = resolve(source.pixels, instruction.as_painted)
    entries: dict[str, dict[str, object]] = {}
    for i, operation in enumerate(task.operations):
        entries[str(i)] = _entry(operation.motion, operation.handle, f"operation {i}")
    begins = [entry["centroids"][0] for entry in entries.values()]  # pyright: ignore[reportIndexIssue]
    targets = [entry["centroids"][1] for entry in entries.values()]  # pyright: ignore[reportIndexIssue]
    data = {
        "region_operations": entries,
        "point_operations": {"begin_points": begins, "target_points": targets},
        "background_prompt": instruction.prompt,
        "editing_prompt": instruction.edit_prompt,
    }
    union = np.logical_or.reduce([operation.mask for operation in task.operations])
    files = {
        IMAGE: encode_png(source, source.pixels),
        REGIONS: _png(union),
        INSTRUCTION: (json.dumps(data, indent=4, ensure_ascii=False) + "\n").encode(),
    }
    for i, operation in enumerate(task.operations):  # kept apart, so that regions that touch stay two
        files[f"temp/mask_orig__{i}.png"] = _png(operation.mask)
    if instruction.editable is not None:
        files[AREA] = _png(task.area)
    write_folder(folder, files)


def _entry(motion: Motion, handle: Point, name: str) -> dict[str, object]:
    if isinstance(motion, Translate):
        return {"task": motion.label, "centroids": [list(handle), list(motion.to)], "anchors": None}
    if isinstance(motion, Rotate):
        (a, b, c), (d, e, f) = motion_matrix(motion, handle)
        target = motion.to or (a * handle[0] + b * handle[1] + c, d * handle[0] + e * handle[1] + f)
        if motion.degrees is not None and (math.dist(handle, motion.about) < 1 or abs(motion.degrees) > 180):
            raise UserError(f"{name}: ReD Bench gives the angle by a target point, which cannot express this rotation")
        return {"task": "rotation", "centroids": [list(handle), list(target)], "anchors": list(motion.about)}
    raise UserError(
        f"{name}: ReD Bench has relocation, deformation and rotation only, not {type(motion).__name__.lower()}"
    )


def _png(mask: Mask) -> bytes:
    buffer = stdio.BytesIO()
    Image.Image.save(masks.as_image(mask), buffer, "PNG")
    return buffer.getvalue()
