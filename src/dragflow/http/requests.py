"""What requests say, in JSON or as a form, as typed values; masks and pictures come as data, never as paths."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Any

from annotated_types import Interval, Len, MaxLen
from fastapi import Request
from pydantic import Field, TypeAdapter
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from dragflow.backbones.usual import preset_of_few_steps, usual_preset
from dragflow.core.arrays import Point
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError, shown
from dragflow.core.fields import Margin, Name, NotNegative, Seed
from dragflow.core.models import ModelOptions
from dragflow.core.task import MOST_OPERATIONS, Instruction
from dragflow.files import schema
from dragflow.files.exports import What
from dragflow.files.instructions import InstructionFile, embedded_instruction
from dragflow.files.pictures import SourceImage, decode_image
from dragflow.files.presets import configure, preset_names
from dragflow.files.project_file import MOST_EDITS
from dragflow.files.red_bench import SampleFields
from dragflow.http.pictures import Pictures
from dragflow.http.refused import Refused
from dragflow.http.settings import ServerSettings

MOST_VARIANTS = 8
_LONGEST_NAME = 200
_JSON_FIELDS = ("instruction", "settings", "points", "names", "sample")
"""Fields of a form that hold JSON."""
_FILES = ("picture", "result", "project")
"""Fields of a form that are files."""
_NUMBERS = ("seed", "variants", "margin", "candidates", "variant")


class PictureRequest(schema.Strict):
    """A picture, sent along or uploaded before."""

    picture: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the file of the picture in base64 (in a form: the file itself)"
    )
    picture_id: Name | None = Field(None, description="the id that POST /v1/pictures gave")


class PreviewRequest(PictureRequest):
    """What to preview."""

    instruction: dict[str, Any] = Field(description="an instruction file; its masks embedded")
    margin: Margin = Field(0, description="pixels by which the derived editable area is grown")


class ConfiguredRequest(PictureRequest):
    """What to edit, by which model under which settings."""

    instruction: dict[str, Any] = Field(description="an instruction file; its masks embedded")
    model: Name | None = Field(None, description="one of GET /v1/models")
    preset: Name | None = Field(
        None, description="a preset that comes with dragflow; the one that serves the model best if absent"
    )
    settings: Annotated[list[Name], Len(0, 64)] = Field([], description='changes of the preset, as "key=value"')


class EditRequest(ConfiguredRequest):
    """What to edit, and how."""

    seed: Seed | None = Field(None, description="of the first variant; that of the preset if absent")
    variants: Annotated[int, Interval(ge=1, le=MOST_VARIANTS)] = Field(1, description="edits with seeds one apart")


class IntentRequest(ConfiguredRequest):
    """What to guess the meaning of; editing prompts come as that model takes them under those settings."""

    candidates: Annotated[int, Interval(ge=1, le=8)] = 3


class LayersRequest(PictureRequest):
    """What to draw the ghost of."""

    instruction: dict[str, Any] = Field(description="an instruction file; its masks embedded")
    coarse: bool = Field(False, description="sooner: with a rougher plate, and without shadows")


class SelectionRequest(PictureRequest):
    """Points on the thing that is meant."""

    points: Annotated[list[Point], Len(1, 64)] = Field(description="(x, y) in pixels of the upright picture")


class ExportRequest(PictureRequest):
    """What to take away."""

    instruction: dict[str, Any] = Field(description="an instruction file; its masks embedded")
    what: What = Field("all", description="layers, red_bench and all are a zip, openraster is one .ora file")
    names: Annotated[list[Annotated[str, MaxLen(_LONGEST_NAME)]], Len(0, MOST_OPERATIONS)] = Field(
        [], description="of the regions, in the order of the operations"
    )
    edit: Name | None = Field(None, description="the id of the edit whose result goes along")
    variant: Annotated[int, Interval(ge=0, lt=MOST_VARIANTS)] = Field(0, description="which result of that edit")
    result: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the file of the result itself in base64 (in a form: as it is), instead of `edit`"
    )
    sample: SampleFields | None = Field(None, description="what the ReD Bench sample says beside the instruction")
    margin: Margin = Field(0, description="pixels by which the derived editable area is grown")


class ProjectEditRequest(schema.Strict):
    """An edit of a project."""

    result: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the file of its result in base64; absent while the edit is marked and not run"
    )
    instruction: dict[str, Any] | None = Field(
        None, description="as it was asked for, an instruction file; its masks embedded. Needed without a result"
    )
    parent: Annotated[int, Interval(ge=0, lt=MOST_EDITS)] = Field(
        0, description="without a result: what is edited, 0 for the picture, n for the result of edit n"
    )
    names: Annotated[list[Annotated[str, MaxLen(_LONGEST_NAME)]], Len(0, MOST_OPERATIONS)] = Field(
        [], description="of the regions, in the order of the operations"
    )
    seconds: NotNegative | None = Field(None, description="how long it took")


class ProjectRequest(schema.Strict):
    """A picture and its edits, to be put into one file."""

    name: Annotated[str, Len(1, _LONGEST_NAME)] = Field("picture", description="of the picture's file")
    picture: Annotated[str, Field(min_length=1)] = Field(description="the file of the picture in base64")
    edits: Annotated[list[ProjectEditRequest], Len(0, MOST_EDITS)] = Field(
        [], description="in the order in which they were made"
    )


class ProjectFileRequest(schema.Strict):
    """A project to be opened."""

    project: Annotated[str, Field(min_length=1)] = Field(
        description="the file of a project in base64 (in a form: as it is)"
    )


class RecipeRequest(schema.Strict):
    """A result, of which the recipe is read."""

    picture: Annotated[str, Field(min_length=1)] = Field(
        description="the file of a result in base64 (in a form: as it is)"
    )


def configured(asked: ConfiguredRequest, settings: ServerSettings) -> tuple[ModelOptions, EditConfig]:
    """The model that is asked for, and the configuration.

    Raises:
        Refused: no preset has this name.
        UserError: no such model, or a setting that breaks a rule.
        CapabilityError: a preset that makes no sense for the model.
    """
    model = settings.model(asked.model)
    preset = asked.preset or usual_preset(model)
    if preset not in preset_names():  # a preset may also be a file, which is not a client's business
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"preset {preset[:60]!r} is not known: choose one of {', '.join(preset_names())}",
        )
    return model, configure(preset, asked.settings, few=preset_of_few_steps(model))


async def read(request: Request, kind: type[schema.Strict]) -> Any:
    """The request's body as one of the types above.

    Raises:
        UserError: neither JSON nor a form, or not of the type.
    """
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content == "multipart/form-data":
        data = await _form(request)
    elif content == "application/json":
        data = _json((await request.body()), "the request")
    else:
        raise UserError(f"content type {content[:60]!r} is not read: send application/json or multipart/form-data")
    if not isinstance(data, dict):
        raise UserError("the request is not a JSON object: send the fields of this address's schema")
    return schema.parse(TypeAdapter(kind), data, "the request")


def picture(asked: PictureRequest, pictures: Pictures) -> SourceImage:
    """The picture of a request.

    Raises:
        UserError: none or two, or one that cannot be read.
    """
    if (asked.picture is None) == (asked.picture_id is None):
        raise UserError("give either `picture` or `picture_id`, not both and not neither")
    if asked.picture_id is not None:
        return pictures.get(asked.picture_id)
    return decode_image(decoded(asked.picture or "", "picture"), "in `picture`")


def decoded(text: str, field: str) -> bytes:
    """A file that a field holds in base64.

    Raises:
        UserError: it does not.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"`{field}` is not in base64 ({error}): encode the bytes of the file") from error


def instruction(asked: PreviewRequest | EditRequest | IntentRequest | LayersRequest | ExportRequest) -> Instruction:
    """The instruction of a request.

    Raises:
        UserError: not of the schema, a mask that is a file, or one that cannot be read.
    """
    return embedded_instruction(asked.instruction, "`instruction`")


def body_schema(kind: type[schema.Strict]) -> dict[str, Any]:
    """What the OpenAPI page says of a request's body."""
    model = kind.model_json_schema()
    if "instruction" in model["properties"]:
        model["properties"]["instruction"] = InstructionFile.model_json_schema(by_alias=True)
        model["$defs"] = model.get("$defs", {}) | model["properties"]["instruction"].pop("$defs", {})
    files = {name: {"type": "string", "format": "binary"} for name in _FILES if name in model["properties"]}
    form = {"type": "object", "properties": files}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(model)}, "multipart/form-data": {"schema": form}},
        }
    }


def _inlined(model: dict[str, Any]) -> dict[str, Any]:
    """A schema without references, which OpenAPI would look for elsewhere."""
    known = model.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(known[part["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in part.items() if key != "discriminator"}
        return [inline(one) for one in part] if isinstance(part, list) else part

    return inline(model)


def _json(data: bytes, what: str) -> Any:
    try:
        return schema.load_json(data.decode("utf-8"), what)
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not in UTF-8: encode it so") from error


async def _form(request: Request) -> dict[str, Any]:
    """The fields of a form as JSON would have them."""
    data: dict[str, Any] = {}
    try:
        async with request.form(
            max_files=len(_FILES) + len(_JSON_FIELDS), max_fields=32, max_part_size=32 * 2**20
        ) as form:
            for name, value in form.multi_items():
                if name in data:
                    raise UserError(f"the request: field {shown(name)} is there twice: send it once")
                data[name] = await _field(name, value)
    except MultiPartException as error:
        raise UserError(f"the request is not a whole form ({error.message}): send it again") from error
    return data


async def _field(name: str, value: UploadFile | str) -> Any:
    if name in _FILES:
        content = await value.read() if isinstance(value, UploadFile) else value.encode()
        if not content:
            raise UserError(f"`{name}` is empty: choose another file")
        return base64.b64encode(content).decode()
    text = value if isinstance(value, str) else (await value.read()).decode("utf-8", "replace")
    if name in _JSON_FIELDS:
        return _json(text.encode(), f"`{name}`")
    return int(text) if name in _NUMBERS and text.isdecimal() and len(text) < 20 else text
