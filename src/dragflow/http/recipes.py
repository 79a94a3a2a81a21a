"""`/v1/recipes`: what the recipe in a result asks for, so that a page can restore it; nothing is loaded for it."""

from __future__ import annotations

import base64
from pathlib import PureWindowsPath
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from dragflow.core.arrays import Mask
from dragflow.core.models import BUILT_IN, GGUF, ModelOptions
from dragflow.core.motion import motion_matrix
from dragflow.core.result import Recipe
from dragflow.core.task import Instruction, Operation
from dragflow.files.instructions import to_file
from dragflow.files.masks import mask_png
from dragflow.files.models import settled_model
from dragflow.files.presets import as_settings, why_alike
from dragflow.files.recipes import decode_recipe
from dragflow.http import requests
from dragflow.http.settings import ServerSettings, public_name
from dragflow.pixels.masks import centroid, rasterise


def router(settings: ServerSettings) -> APIRouter:
    """The address of recipes."""
    routes = APIRouter(tags=["exports"])

    @routes.post("/v1/recipes", openapi_extra=requests.body_schema(requests.RecipeRequest))
    async def read(request: Request) -> dict[str, Any]:
        """What a result was made with: model, preset and settings, seed, instruction, and which picture it needs."""
        asked: requests.RecipeRequest = await requests.read(request, requests.RecipeRequest)
        return await run_in_threadpool(_told, asked, settings)

    return routes


def _told(asked: requests.RecipeRequest, settings: ServerSettings) -> dict[str, Any]:
    recipe, size = decode_recipe(requests.decoded(asked.picture, "picture"), "in `picture`")
    return made_with(recipe, settings) | marks(recipe.instruction, size, recipe.source_sha256)


def made_with(recipe: Recipe, settings: ServerSettings) -> dict[str, Any]:
    """What an edit asked for, beside its instruction."""
    preset, changes = as_settings(recipe.config)
    return {
        "model": _model(recipe),
        "served": next((public_name(served) for served in settings.models if _offers(served, recipe)), None),
        "preset": preset,
        "settings": changes,
        "alike": why_alike(recipe.config),
        "seed": recipe.config.seed,
    }


def marks(instruction: Instruction, size: tuple[int, int], sha256: str) -> dict[str, Any]:
    """What a canvas shows of an instruction, on a picture of `size` (h, w) and of this digest.

    Raises:
        UserError: a region that breaks a rule.
    """
    editable, protect = instruction.editable, instruction.protect
    return {
        "instruction": to_file(instruction),
        "regions": [_region(operation, size, i) for i, operation in enumerate(instruction.operations)],
        "area": None if editable is None else _png(rasterise(editable, size, "`editable`", whole=True)),
        "protect": None if protect is None else _png(rasterise(protect, size, "`protect`", whole=True)),
        "source": {"sha256": sha256, "width": size[1], "height": size[0]},
    }


def _region(operation: Operation, size: tuple[int, int], index: int) -> dict[str, Any]:
    """What a canvas shows of an operation, whatever its kinds of region and motion are."""
    mask, front = rasterise(operation.region, size, f"`operations.{index}.region`"), operation.front
    return {
        "mask": _png(mask),
        "matrix": motion_matrix(operation.motion, operation.handle or centroid(mask)),
        "front": None if front is None else _png(rasterise(front, size, f"`operations.{index}.behind`")),
    }


def _model(recipe: Recipe) -> dict[str, Any]:
    """What a recipe's model consists of; of paths, which mean nothing on another machine, the last part."""
    made, subject = recipe.weights.options, recipe.subject
    path = PureWindowsPath(made.name)
    is_path = path.anchor or len(path.parts) > 2 or made.name.startswith((".", "~"))  # a hub's name has two parts
    return {
        "name": path.name if is_path else made.name,
        "revision": made.revision,
        "dtype": made.dtype,
        "quantize": _quantised(made),
        "lora": _loras(made),
        "bridge": _bridge(made),
        "subject": None if subject is None else subject.options.adapter,
    }


def _offers(served: ModelOptions, recipe: Recipe) -> bool:
    """Whether a model is the one that made a result, by names; without a revision or a dtype it is that of any."""
    made, served = recipe.weights.options, settled_model(served)
    adapter = None if recipe.subject is None else recipe.subject.options.adapter
    return (
        _is_called(made.name, public_name(served))
        and served.revision in (None, made.revision)
        and served.dtype in (None, made.dtype)
        and all(of(served) == of(made) for of in (_quantised, _loras, _bridge))
        and (not served.parts or _parts(served) == _parts(made))
        and adapter == (None if served.subject is None else served.subject.adapter)
    )


def _is_called(name: str, public: str) -> bool:
    """Whether a model, by its path or its name on a hub, is the one of a public name: whether it ends in that."""
    if public in BUILT_IN:
        return name == public
    parts, end = PureWindowsPath(name).parts, PureWindowsPath(public).parts
    return parts[-len(end) :] == end


def _quantised(options: ModelOptions) -> str | None:
    return options.quantize if options.gguf is None else GGUF + PureWindowsPath(options.gguf).name


def _loras(options: ModelOptions) -> list[str]:
    return [PureWindowsPath(lora).name for lora in options.lora]


def _parts(options: ModelOptions) -> list[str]:
    return [PureWindowsPath(name).name for name in options.parts]


def _bridge(options: ModelOptions) -> str | None:
    return None if options.bridge is None else PureWindowsPath(options.bridge).name


def _png(mask: Mask) -> str:
    return base64.b64encode(mask_png(mask)).decode()
