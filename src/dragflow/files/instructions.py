"""Instruction files: our JSON (schema in docs/instruction.schema.json) to and from `Instruction`."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Discriminator, Field, Tag, TypeAdapter

from dragflow.core.arrays import Point
from dragflow.core.checked import as_path, expect
from dragflow.core.errors import UserError
from dragflow.core.fields import Prompt
from dragflow.core.motion import Motion
from dragflow.core.task import (
    MOST_OPERATIONS,
    AreaMode,
    Box,
    Cut,
    Instruction,
    MaskFile,
    MaskImage,
    Operation,
    Polygon,
    Region,
    as_instruction,
)
from dragflow.files import schema
from dragflow.files.atomic import write_text
from dragflow.files.masks import freeze, frozen
from dragflow.files.pictures import decode_png
from dragflow.files.red_bench import load_red_bench, sample_paths
from dragflow.files.swaps import swap
from dragflow.files.texts import check_inside, is_folder, read_text
from dragflow.pixels import masks
from dragflow.pixels.reading import covers_most

VERSION = 2


class EmbeddedMask(schema.Strict):
    """A mask inside the file."""

    type: Literal["png"] = "png"
    png: Annotated[str, Field(min_length=1, description="a black and white PNG of the picture's size, base64")]
    invert: bool | None = Field(None, description="whether the region is what is not painted; null asks where in doubt")
    label: int | str | None = Field(
        default=None, description="the one value, palette index or #rrggbb that is the region"
    )


# The core types are the format, distinguished by their `type`; only masks differ in a file.
_RegionFile = Annotated[MaskFile | EmbeddedMask | Polygon | Box, Field(discriminator="type")]
_MotionFile = Annotated[Motion, Field(discriminator="type")]


class OperationFile(schema.Strict):
    """One region and its motion."""

    region: _RegionFile
    motion: _MotionFile
    handle: Point | None = Field(None, description="the point that `to` is meant for; the region's centroid if absent")
    cut: Cut | None = Field(None, description="how the region is cut out; snap if absent")
    behind: bool | _RegionFile | None = Field(
        default=None, description="what stays in front of it: a region, true for what is found there, false for nothing"
    )


class SwapFile(schema.Strict):
    """Two regions that change places, centroid to centroid; read as two relocations."""

    swap: tuple[_RegionFile, _RegionFile]
    cut: Cut | None = Field(None, description="how both are cut out; snap if absent")
    behind: bool | _RegionFile | None = Field(
        default=None, description="what stays in front of both; as of an operation"
    )


def _kind(entry: Any) -> str:
    """Of what an instruction lists; one that is made here is an operation."""
    return "swap" if isinstance(entry, dict) and "swap" in entry else "operation"


_OperationFile = Annotated[
    Annotated[OperationFile, Tag("operation")] | Annotated[SwapFile, Tag("swap")], Discriminator(_kind)
]


class InstructionFile(schema.Strict):
    """What to do with one picture; points are (x, y) in pixels of the upright picture."""

    version: Literal[2] = VERSION
    operations: Annotated[list[_OperationFile], Field(min_length=1, max_length=MOST_OPERATIONS)]
    prompt: Prompt = Field("", description="what the source picture shows")
    edit_prompt: Prompt = Field("", description="what the edit does")
    editable: _RegionFile | None = Field(None, description="where the picture may change; derived if absent")
    editable_mode: AreaMode = Field("replace", description="what it does to the derived area")
    protect: _RegionFile | None = Field(None, description="what never changes, whatever the area is")


_ADAPTER = TypeAdapter(InstructionFile)
_AREAS = {"editable": "area", "protect": "protect"}
"""How errors call the choices about a mask that is not the region of an operation."""


def load_instruction(path: Path | str, root: Path | None = None) -> Instruction:
    """Read an instruction file, or a ReD Bench folder; the masks that it names are read, too.

    Args:
        path: the file or folder.
        root: refuse masks that are links to files outside of this folder.

    Raises:
        UserError: missing, not JSON, or not of the schema (the text names the path in the file); an unreadable mask.
    """
    path = as_path(path)
    if is_folder(path):
        if root is not None:
            for file in sample_paths(path):
                check_inside(file, root)
        return load_red_bench(path).instruction
    text = read_text(path, "instruction", "check the path, or make one with `dragflow task new`")
    return parse_instruction(text, str(path), path.parent, root)


def given_instruction(asked: Instruction | Operation | Sequence[Operation] | str | PathLike[str]) -> Instruction:
    """An instruction as programs give it: itself, operations, or the path of a file or ReD Bench folder; frozen.

    Raises:
        UserError: anything else, or a file or a mask that cannot be read.
    """
    if isinstance(asked, str | PathLike):
        return load_instruction(Path(asked))
    return freeze(as_instruction(asked))


def parse_instruction(text: str, source: str, folder: Path = Path(), root: Path | None = None) -> Instruction:
    """An instruction from JSON text; mask paths are relative to `folder`, and in `root` if that is given."""
    data = schema.load_json(text, source)
    if isinstance(data, dict) and "region_operations" in data:
        raise UserError(f"{source} is a ReD Bench instruction: give its folder, which holds the masks too")
    return from_file(schema.parse(_ADAPTER, upgraded(data), source), source, folder, root=root)


def embedded_instruction(data: object, source: str) -> Instruction:
    """An instruction from plain data of a stranger: its masks are embedded, and no file is read for it.

    Raises:
        UserError: not of the schema, a mask that cannot be read, or one that is a file.
    """
    return from_file(schema.parse(_ADAPTER, upgraded(data), source), source, None)


def parse_embedded(text: str, source: str) -> Instruction:
    """The same from the JSON text of a stranger."""
    return embedded_instruction(schema.load_json(text, source), source)


def from_file(
    parsed: InstructionFile, source: str, folder: Path | None, *, settled: bool = False, root: Path | None = None
) -> Instruction:
    """The instruction in a file, its masks read; their paths are relative to `folder`, None if all must be embedded.

    Masks that are links to files outside of `root`, if that is given, are refused.

    Masks of which it is `settled` what they mean, as those of a recipe, are taken as they are where nothing is said.

    Raises:
        UserError: a mask that cannot be read, or a mask file where none is allowed; the text names its key.
    """

    def region(entry: MaskFile | EmbeddedMask | Polygon | Box, place: str) -> Region:
        try:
            return _read(entry, folder, root, settled=settled, area=_AREAS.get(place, ""))
        except UserError as error:
            raise UserError(f"{source}: {place}: {error}") from error

    def operations(op: OperationFile | SwapFile, place: str) -> tuple[Operation, ...]:
        behind = op.behind if isinstance(op.behind, bool | None) else region(op.behind, f"{place}.behind")
        if isinstance(op, SwapFile):
            first, second = (region(one, f"{place}.swap.{i}") for i, one in enumerate(op.swap))
            return swap(first, second, op.cut, behind)
        return (Operation(region(op.region, f"{place}.region"), op.motion, op.handle, op.cut, behind),)

    listed = enumerate(parsed.operations)
    return Instruction(
        operations=[each for index, op in listed for each in operations(op, f"operations.{index}")],
        prompt=parsed.prompt,
        edit_prompt=parsed.edit_prompt,
        editable=None if parsed.editable is None else region(parsed.editable, "editable"),
        editable_mode=parsed.editable_mode,
        protect=None if parsed.protect is None else region(parsed.protect, "protect"),
    )


def _below(folder: Path, path: Path, root: Path | None) -> Path:
    """A mask beside the file that names it, or in a folder there; another place on this machine is not its business."""
    if PureWindowsPath(path).anchor or PurePosixPath(path).anchor or ".." in PureWindowsPath(path).parts:
        raise UserError(
            f"it names the mask {path}: an instruction file reads only masks in its own folder and below; copy the "
            "mask there, or embed it by `dragflow task new`"
        )
    if root is not None:
        check_inside(folder / path, root)
    return folder / path


def _read(
    entry: MaskFile | EmbeddedMask | Polygon | Box, folder: Path | None, root: Path | None, *, settled: bool, area: str
) -> Region:
    if isinstance(entry, EmbeddedMask):
        invert = False if settled and entry.invert is None and entry.label is None else entry.invert
        return frozen(MaskImage(_decoded(entry.png), None, invert, entry.label), area=area)
    if not isinstance(entry, MaskFile):
        return entry
    if folder is None:
        raise UserError(f"it names the mask file {entry.path}: only embedded masks are allowed here")
    return frozen(replace(entry, path=_below(folder, entry.path, root)), area=area)


def to_file(instruction: Instruction) -> dict[str, Any]:
    """An instruction as plain data, complete in itself: masks are embedded."""
    parsed = InstructionFile(
        operations=[
            OperationFile(
                region=_embedded(op.region),
                motion=op.motion,
                handle=op.handle,
                cut=op.cut,
                behind=op.behind if isinstance(op.behind, bool | None) else _embedded(op.behind),
            )
            for op in instruction.operations
        ],
        prompt=instruction.prompt,
        edit_prompt=instruction.edit_prompt,
        editable=None if instruction.editable is None else _embedded(instruction.editable, area="area"),
        editable_mode=instruction.editable_mode,
        protect=None if instruction.protect is None else _embedded(instruction.protect, area="protect"),
    )
    return parsed.model_dump(mode="json", exclude_none=True)


def dump_instruction(instruction: Instruction) -> str:
    """The JSON of an instruction; see `to_file`."""
    return json.dumps(to_file(instruction), indent=2, ensure_ascii=False)


def save_instruction(path: Path | str, instruction: Instruction) -> None:
    """Write an instruction file atomically.

    Raises:
        UserError: no instruction, no path, or one that cannot be written.
    """
    write_text(as_path(path), dump_instruction(expect(Instruction, instruction)) + "\n")


def json_schema() -> str:
    """The JSON schema of instruction files."""
    return json.dumps(_ADAPTER.json_schema(), indent=2) + "\n"


def upgraded(data: Any) -> Any:
    """Plain data of version 1, in which regions had no `type`, converted to version 2; anything else unchanged."""
    if not isinstance(data, dict) or data.get("version", 1) is True or data.get("version", 1) != 1:
        return data
    operations = data.get("operations")
    data = {**data, "version": VERSION}
    if isinstance(operations, list):
        data["operations"] = [
            {**op, "region": _tagged(op["region"])} if isinstance(op, dict) and "region" in op else op
            for op in operations
        ]
    return data if data.get("editable") is None else {**data, "editable": _tagged(data["editable"])}


def _tagged(region: Any) -> Any:
    """A region of version 1: an object with one key that is its kind, and for a mask the point in it."""
    kinds = [kind for kind in ("mask", "png", "polygon", "box") if isinstance(region, dict) and kind in region]
    if len(kinds) != 1 or "type" in region:
        return region
    kind, value = kinds[0], region[kinds[0]]
    rest = {key: other for key, other in region.items() if key != kind}
    if kind == "box" and isinstance(value, list):
        return {"type": kind, **dict(zip(("left", "top", "right", "bottom", "surplus"), value, strict=False)), **rest}
    return {"type": kind, {"mask": "path", "polygon": "points"}.get(kind, kind): value, **rest}


def _decoded(png: str) -> Image.Image:
    try:
        data = base64.b64decode(png, validate=True)
    except ValueError as error:
        raise UserError(f"an embedded mask is not in base64 ({error})") from error
    return decode_png(data, "in an embedded mask", deep=True)


def _embedded(region: Region, *, area: str = "") -> EmbeddedMask | Polygon | Box:
    if isinstance(region, Polygon | Box):
        return region
    mask = np.asarray(frozen(region, area=area).array)
    buffer = io.BytesIO()
    masks.as_image(mask).convert("1").save(buffer, "PNG", optimize=True)
    meant = False if not area and covers_most(mask) else None  # what looks inverted is said to be as it is
    return EmbeddedMask(png=base64.b64encode(buffer.getvalue()).decode(), invert=meant)
