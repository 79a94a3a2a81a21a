"""What needs no model, or only a guess: pictures, previews, selections, layers of a ghost, intents."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from dragflow.backbones.usual import usual_prompts
from dragflow.core.fields import Name
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.encoding import encode_png
from dragflow.files.instructions import to_file
from dragflow.files.pictures import as_source
from dragflow.http import requests
from dragflow.http.pictures import Pictures
from dragflow.http.refused import Refused
from dragflow.http.settings import ServerSettings
from dragflow.service import Canvas, GuessOptions, choose, guess
from dragflow.service.canvas import as_png


def router(pictures: Pictures, canvas: Canvas, settings: ServerSettings, guesses: GuessOptions | None) -> APIRouter:
    """The addresses of drafts; without `guesses` no intent is guessed."""
    routes = APIRouter(tags=["drafts"])
    _add_pictures(routes, pictures)
    _add_views(routes, pictures, canvas)
    _add_selections(routes, pictures, canvas)
    _add_guesses(routes, pictures, settings, guesses)
    return routes


def _add_pictures(routes: APIRouter, pictures: Pictures) -> None:
    @routes.post("/v1/pictures", status_code=201, openapi_extra=requests.body_schema(requests.PictureRequest))
    async def upload(request: Request) -> dict[str, Any]:
        """Keep a picture for later requests."""
        asked: requests.PictureRequest = await requests.read(request, requests.PictureRequest)
        source = await run_in_threadpool(requests.picture, asked, pictures)
        h, w = source.size
        return {"id": pictures.add(source), "width": w, "height": h, "sha256": source.sha256}

    @routes.get("/v1/pictures/{name}", response_class=Response)
    def fetch(name: Name) -> Response:
        """An uploaded picture, upright, as PNG."""
        source = pictures.get(name)
        return _png(source.pixels if source.alpha is None else np.dstack([source.pixels, source.alpha]))

    @routes.delete("/v1/pictures/{name}", status_code=204)
    def forget(name: Name) -> None:
        """Forget a picture before its time."""
        pictures.remove(name)


def _add_views(routes: APIRouter, pictures: Pictures, canvas: Canvas) -> None:
    @routes.post("/v1/previews", response_class=Response, openapi_extra=requests.body_schema(requests.PreviewRequest))
    async def preview(request: Request) -> Response:
        """The preview of an instruction, without a model, as PNG."""
        asked: requests.PreviewRequest = await requests.read(request, requests.PreviewRequest)

        def drawn() -> bytes:
            source = requests.picture(asked, pictures)
            return encode_png(source, canvas.preview(source, requests.instruction(asked), margin=asked.margin))

        return Response(await run_in_threadpool(drawn), media_type="image/png")

    @routes.post("/v1/layers", openapi_extra=requests.body_schema(requests.LayersRequest))
    async def layers(request: Request) -> dict[str, Any]:
        """What a page draws the ghost of a drag from while the hand moves, with no further request."""
        asked: requests.LayersRequest = await requests.read(request, requests.LayersRequest)

        def made() -> dict[str, Any]:
            source, instruction = requests.picture(asked, pictures), requests.instruction(asked)
            return canvas.ghost(source, instruction, coarse=asked.coarse)

        return await run_in_threadpool(made)


def _add_selections(routes: APIRouter, pictures: Pictures, canvas: Canvas) -> None:
    @routes.post(
        "/v1/selections", response_class=Response, openapi_extra=requests.body_schema(requests.SelectionRequest)
    )
    async def select(request: Request) -> Response:
        """The mask of the thing at the points, as a black and white PNG."""
        asked: requests.SelectionRequest = await requests.read(request, requests.SelectionRequest)

        def found() -> Response:
            source = requests.picture(asked, pictures)
            return _png(canvas.select(source, asked.points).astype(np.uint8) * 255)

        return await run_in_threadpool(found)


def _add_guesses(routes: APIRouter, pictures: Pictures, settings: ServerSettings, guesses: GuessOptions | None) -> None:
    @routes.post("/v1/intents", openapi_extra=requests.body_schema(requests.IntentRequest))
    async def intents(request: Request) -> dict[str, Any]:
        """What a drag may mean: guesses, each with the instruction that it makes."""
        asked: requests.IntentRequest = await requests.read(request, requests.IntentRequest)
        if guesses is None:
            raise Refused(HTTPStatus.NOT_FOUND, "this server guesses no intents")
        return await run_in_threadpool(_guessed, asked, pictures, settings, guesses)


def warm() -> None:
    """Make a small ghost, so that a person's first one does not wait for libraries that are loaded late."""
    image = np.tile(np.arange(96, dtype=np.uint8)[:, None], (96, 1, 3))
    region = Box(40, 40, 55, 55)
    Canvas().ghost(as_source(image), Instruction(Operation(region, Translate((60, 60), label="relocation"))))


def _guessed(
    asked: requests.IntentRequest, pictures: Pictures, settings: ServerSettings, options: GuessOptions
) -> dict[str, Any]:
    source, instruction = requests.picture(asked, pictures), requests.instruction(asked)
    request, answer = guess(source, instruction, options, usual_prompts(*requests.configured(asked, settings)))
    candidates = answer.proposal.candidates
    return {
        "background_prompt": answer.proposal.background_prompt,
        "change": answer.proposal.change,
        "candidates": [
            {
                "label": candidate.label,
                "prompt": candidate.prompt,
                "confidence": candidate.confidence,
                "anchor": candidate.anchor,
                "instruction": to_file(choose(request, answer, number).instruction),
            }
            for number, candidate in enumerate(candidates[: asked.candidates], start=1)
        ],
    }


def _png(pixels: NDArray[np.uint8]) -> Response:
    return Response(as_png(pixels), media_type="image/png")
