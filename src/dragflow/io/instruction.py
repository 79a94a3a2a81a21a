"""Instruction files: our JSON (schema in docs/instruction.schema.json) to and from `Instruction`."""

from __future__ import annotations

import base64
import io as stdio
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dragflow.core import task as core
from dragflow.core.errors import UserError
from dragflow.io import masks, schema
from dragflow.io.files import write_text
from dragflow.io.redbench import load_red_bench

Point = tuple[float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class MaskRegion(_Strict):
    """A black and white picture beside the file; white belongs to the region."""

    mask: Annotated[str, Field(min_length=1, description="path of the mask, relative to this file")]
    at: Point | None = Field(None, description="take only the connected part at (or nearest to) this point")


class EmbeddedRegion(_Strict):
    """A mask inside the file."""

    png: Annotated[str, Field(min_length=1, description="a black and white PNG of the picture's size, base64")]


class PolygonRegion(_Strict):
    """A closed outline."""

    polygon: Annotated[list[Point], Field(min_length=3)]


class BoxRegion(_Strict):
    """left, top, right, bottom; all four pixels included."""

    box: tuple[float, float, float, float]


RegionFile = MaskRegion | EmbeddedRegion | PolygonRegion | BoxRegion


class TranslateMotion(_Strict):
    """Carry the handle to a point."""

    type: Literal["translate"]
    to: Point
    label: core.Label = "relocation"


class RotateMotion(_Strict):
    """Turn about an anchor, until the handle points at `to`, or by `degrees` (clockwise as seen)."""

    type: Literal["rotate"]
    about: Point
    to: Point | None = None
    degrees: float | None = None


class ScaleMotion(_Strict):
    """Scale about an anchor by one factor, or by one for x and one for y."""

    type: Literal["scale"]
    about: Point
    factor: float | Point


class AffineMotion(_Strict):
    """Any affine map, two rows of three."""

    type: Literal["affine"]
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]


MotionFile = Annotated[TranslateMotion | RotateMotion | ScaleMotion | AffineMotion, Field(discriminator="type")]


class OperationFile(_Strict):
    """One region and its motion."""

    region: RegionFile
    motion: MotionFile
    handle: Point | None = Field(None, description="the point that `to` is meant for; the region's centroid if absent")


class InstructionFile(_Strict):
    """What to do with one picture; points are (x, y) in pixels of the upright picture."""

    version: Literal[1] = 1
    operations: Annotated[list[OperationFile], Field(min_length=1)]
    prompt: str = Field("", description="what the source picture shows")
    edit_prompt: str = Field("", description="what the edit does")
    editable: RegionFile | None = Field(None, description="where the picture may change; derived if absent")
    editable_mode: Literal["replace", "extend"] = "replace"


_ADAPTER = TypeAdapter(InstructionFile)


def load_instruction(path: Path | str) -> core.Instruction:
    """Read an instruction file, or a ReD Bench folder.

    Raises:
        UserError: missing, not JSON, or against the schema; the text names the path in the file.
    """
    path = Path(path)
    if path.is_dir():
        return load_red_bench(path).instruction
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"instruction {path} does not exist: check the path, or make one with `dragflow task new`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"instruction {path} cannot be read as UTF-8 text: {error}") from error
    return parse_instruction(text, str(path), path.parent)


def parse_instruction(text: str, source: str, folder: Path = Path()) -> core.Instruction:
    """An instruction from JSON text; mask paths are relative to `folder`."""
    data = schema.load_json(text, source)
    if isinstance(data, dict) and "region_operations" in data:
        raise UserError(f"{source} is a ReD Bench instruction: name its folder, the masks are beside it")
    _check_regions(data, source)
    parsed = schema.parse(_ADAPTER, data, source)
    return core.Instruction(
        operations=tuple(
            core.Operation(_region(op.region, folder, source), _motion(op.motion), op.handle)
            for op in parsed.operations
        ),
        prompt=parsed.prompt,
        edit_prompt=parsed.edit_prompt,
        editable=None if parsed.editable is None else _region(parsed.editable, folder, source),
        editable_mode=parsed.editable_mode,
    )


def dump_instruction(instruction: core.Instruction) -> str:
    """The JSON of an instruction, complete in itself: mask files are embedded."""
    data: dict[str, Any] = {
        "version": 1,
        "operations": [_operation_data(operation) for operation in instruction.operations],
        "prompt": instruction.prompt,
        "edit_prompt": instruction.edit_prompt,
    }
    if instruction.editable is not None:
        data |= {"editable": _region_data(instruction.editable), "editable_mode": instruction.editable_mode}
    return json.dumps(data, indent=2, ensure_ascii=False)


def save_instruction(path: Path, instruction: core.Instruction) -> None:
    """Write an instruction file, whole or not at all."""
    write_text(path, dump_instruction(instruction) + "\n")


def json_schema() -> str:
    """The JSON schema of instruction files."""
    return json.dumps(_ADAPTER.json_schema(), indent=2) + "\n"


_REGION_KEYS: dict[str, type[_Strict]] = {
    "mask": MaskRegion,
    "png": EmbeddedRegion,
    "polygon": PolygonRegion,
    "box": BoxRegion,
}


def _check_regions(data: object, source: str) -> None:
    """Say plainly what a union of four shapes would report as four errors."""
    if not isinstance(data, dict):
        return
    operations = data.get("operations")
    places = [("editable", data.get("editable"))]
    for i, operation in enumerate(operations if isinstance(operations, list) else []):
        if isinstance(operation, dict):
            places.append((f"operations.{i}.region", operation.get("region")))
            if "region" not in operation:
                raise UserError(f"{source}: operations.{i}.region is missing: an operation needs a region")
    for path, region in places:
        if region is None:
            continue
        kinds = [key for key in _REGION_KEYS if isinstance(region, dict) and key in region]
        if len(kinds) != 1:
            raise UserError(
                f"{source}: {path} must be an object with exactly one of the keys {', '.join(_REGION_KEYS)}"
            )
        schema.parse(TypeAdapter(_REGION_KEYS[kinds[0]]), region, f"{source}: {path}")


def _region(region: RegionFile, folder: Path, source: str) -> core.Region:
    if isinstance(region, MaskRegion):
        return core.MaskFile(folder / region.mask, region.at)
    if isinstance(region, PolygonRegion):
        return core.Polygon(tuple(region.polygon))
    if isinstance(region, BoxRegion):
        return core.Box(*region.box)
    try:
        image = Image.open(stdio.BytesIO(base64.b64decode(region.png, validate=True)))
        return core.MaskArray(np.asarray(image.convert("L")) > 127)
    except (ValueError, UnidentifiedImageError, OSError, SyntaxError) as error:
        raise UserError(f"{source}: an embedded mask is no base64 PNG ({error})") from error


def _motion(motion: TranslateMotion | RotateMotion | ScaleMotion | AffineMotion) -> core.Motion:
    if isinstance(motion, TranslateMotion):
        return core.Translate(motion.to, motion.label)
    if isinstance(motion, RotateMotion):
        return core.Rotate(motion.about, motion.to, motion.degrees)
    if isinstance(motion, ScaleMotion):
        return core.Scale(motion.about, motion.factor)
    return core.Affine(motion.matrix)


def _operation_data(operation: core.Operation) -> dict[str, Any]:
    data: dict[str, Any] = {"region": _region_data(operation.region), "motion": _motion_data(operation.motion)}
    return data if operation.handle is None else data | {"handle": list(operation.handle)}


def _motion_data(motion: core.Motion) -> dict[str, Any]:
    if isinstance(motion, core.Translate):
        return {"type": "translate", "to": list(motion.to), "label": motion.label}
    if isinstance(motion, core.Rotate):
        where = {"degrees": motion.degrees} if motion.to is None else {"to": list(motion.to)}
        return {"type": "rotate", "about": list(motion.about), **where}
    if isinstance(motion, core.Scale):
        factor = list(motion.factor) if isinstance(motion.factor, tuple) else motion.factor
        return {"type": "scale", "about": list(motion.about), "factor": factor}
    return {"type": "affine", "matrix": [list(row) for row in motion.matrix]}


def _region_data(region: core.Region) -> dict[str, Any]:
    if isinstance(region, core.Polygon):
        return {"polygon": [list(point) for point in region.points]}
    if isinstance(region, core.Box):
        return {"box": [region.left, region.top, region.right, region.bottom]}
    if isinstance(region, core.MaskFile):
        mask = masks.load_mask(region.path)
        mask = mask if region.at is None else masks.component_at(mask, region.at, str(region.path))
    else:
        mask = np.asarray(region.array) > 0
    buffer = stdio.BytesIO()
    masks.as_image(mask).convert("1").save(buffer, "PNG", optimize=True)
    return {"png": base64.b64encode(buffer.getvalue()).decode()}
