"""The models and presets that a server offers; models are loaded before an edit asks for them, and unloaded."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from dragflow.backbones.catalogue import is_here, known_as
from dragflow.backbones.usual import usual_preset
from dragflow.core.fields import Name
from dragflow.core.models import ModelOptions
from dragflow.files import schema
from dragflow.files.presets import describe_preset, load_preset, preset_names, why_alike
from dragflow.http import requests
from dragflow.http.edits import Edits
from dragflow.http.refused import Refused
from dragflow.http.settings import ServerSettings, public_name


class ModelRequest(schema.Strict):
    """Which model."""

    model: Name = Field(description="one of GET /v1/models")


def router(edits: Edits, settings: ServerSettings, selects: str) -> APIRouter:
    """The addresses of models; `selects` is what finds things under points."""
    routes = APIRouter(tags=["server"])

    @routes.get("/v1/models")
    def models() -> dict[str, Any]:
        """What edits may ask for."""
        return {
            "models": [_about(edits, model) | {"default": i == 0} for i, model in enumerate(settings.models)],
            "presets": [_preset(name) for name in preset_names()],
            "selects_by": selects,
        }

    @routes.post("/v1/models/load", openapi_extra=requests.body_schema(ModelRequest))
    async def load(request: Request) -> dict[str, Any]:
        """Load a model before an edit asks for it."""
        asked: ModelRequest = await requests.read(request, ModelRequest)
        model = settings.model(asked.model)
        if settings.token is not None and not await run_in_threadpool(is_here, model):
            raise Refused(
                HTTPStatus.CONFLICT,
                f"{asked.model} is not on the server's disk: whoever runs the server downloads it there, by `dragflow "
                f"model download {asked.model}`",
            )
        await run_in_threadpool(edits.load, model)
        return _about(edits, model)

    @routes.post("/v1/models/unload", openapi_extra=requests.body_schema(ModelRequest))
    async def unload(request: Request) -> dict[str, Any]:
        """Free the memory of a model, after the edits that wait for it; the next edit loads it again."""
        asked: ModelRequest = await requests.read(request, ModelRequest)
        model = settings.model(asked.model)
        await run_in_threadpool(edits.unload, model)
        return _about(edits, model)

    return routes


def _preset(name: str) -> dict[str, Any]:
    return {"name": name, "description": describe_preset(name), "alike": why_alike(load_preset(name))}


def _about(edits: Edits, model: ModelOptions) -> dict[str, Any]:
    known = known_as(model)
    return {
        "name": public_name(model),
        "preset": usual_preset(model),
        "device": model.device,
        "quantize": None if model.gguf else model.quantize,
        "loaded": edits.is_loaded(model),
        "licence": None if known is None else known.terms,
        "bytes": None if known is None else known.size,
        "here": is_here(model),
    }
