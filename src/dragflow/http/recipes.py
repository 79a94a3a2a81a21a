"""`/v1/recipes`: what the recipe in a result asks for, so that a page can restore it; nothing is loaded for it."""

from __future__ import annotations

import base64
from pathlib import PureWindowsPath
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from dragflow.core.arrays import Mask
from dragflow.core.models import ModelOptions
from dragflow.core.motion import motion_matrix
from dragflow.core.task import Operation
from dragflow.files.instructions import to_file
from dragflow.files.masks import mask_png
from dragflow.files.pictures import decode_image
from dragflow.files.presets import as_settings
from dragflow.files.recipes import decode_recipe
from dragflow.http import requests
from dragflow.http.settings import ServerSettings, public_name
from dragflow.pixels.masks import centroid, rasterise

_NAME = "of the request"


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
    data = requests.decoded(asked.picture, "picture")
    recipe, size = decode_recipe(data, _NAME), decode_image(data, _NAME).size
    made, subject = recipe.weights.options, recipe.subject
    model = _asked(made, made.name, None if subject is None else subject.options.adapter)
    preset, changes = as_settings(recipe.config)
    editable = recipe.instruction.editable
    return {
        "model": model,
        "served": next((public_name(served) for served in settings.models if _offers(served, model)), None),
        "preset": preset,
        "settings": changes,
        "seed": recipe.config.seed,
        "instruction": to_file(recipe.instruction),
        "regions": [_region(operation, size) for operation in recipe.instruction.operations],
        "area": None if editable is None else _png(rasterise(editable, size, "the area of the recipe", whole=True)),
        "source": {"sha256": recipe.source_sha256, "width": size[1], "height": size[0]},
    }


def _region(operation: Operation, size: tuple[int, int]) -> dict[str, Any]:
    """What a canvas shows of an operation, whatever its kinds of region and motion are."""
    mask = rasterise(operation.region, size, "a region of the recipe")
    front = operation.front
    return {
        "mask": _png(mask),
        "matrix": motion_matrix(operation.motion, operation.handle or centroid(mask)),
        "front": None if front is None else _png(rasterise(front, size, "what a region of the recipe is behind")),
    }


def _asked(options: ModelOptions, name: str, adapter: str | None) -> dict[str, Any]:
    """What a model consists of; of paths, which mean nothing on another machine, the last part."""
    return {
        "name": _last(name),
        "revision": options.revision,
        "quantize": None if options.quantize is None else _last(options.quantize),
        "lora": [_last(file) for file in options.lora],
        "subject": adapter,
    }


def _offers(served: ModelOptions, asked: dict[str, Any]) -> bool:
    """Whether a model is the one that is asked for, by names; a served one without a revision is that of any."""
    own = _asked(served, public_name(served), None if served.subject is None else served.subject.adapter)
    return asked == own | ({} if served.revision else {"revision": asked["revision"]})


def _last(name: str) -> str:
    """A name on a hub as it is; of a path, the last part."""
    path = PureWindowsPath(name)
    return path.name if path.anchor or len(path.parts) > 2 or name.startswith((".", "~")) else name


def _png(mask: Mask) -> str:
    return base64.b64encode(mask_png(mask)).decode()
