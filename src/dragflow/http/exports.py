"""`/v1/exports`: an edit as one file for other programs."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from dragflow.core.errors import UserError
from dragflow.files.exports import Result, decode_result, export, left_out, media_type
from dragflow.http import requests
from dragflow.http.edits import Edits
from dragflow.http.pictures import Pictures
from dragflow.pixels.layers import Kept

LEFT_OUT = "Left-Out"
"""Header that says, percent-encoded, why everything holds no ReD Bench sample."""


def router(edits: Edits, pictures: Pictures, kept: Kept) -> APIRouter:
    """The address of exports."""
    routes = APIRouter(tags=["exports"])

    @routes.post("/v1/exports", response_class=Response, openapi_extra=requests.body_schema(requests.ExportRequest))
    async def take(request: Request) -> Response:
        """Layers, an OpenRaster file, a ReD Bench sample, or all of them with a result."""
        asked: requests.ExportRequest = await requests.read(request, requests.ExportRequest)
        data = await run_in_threadpool(_encoded, asked, edits, pictures, kept)
        why = left_out(data) if asked.what == "all" else None
        return Response(data, media_type=media_type(asked.what), headers={} if why is None else {LEFT_OUT: quote(why)})

    return routes


def _encoded(asked: requests.ExportRequest, edits: Edits, pictures: Pictures, kept: Kept) -> bytes:
    source, instruction, result = requests.picture(asked, pictures), requests.instruction(asked), _result(asked, edits)
    taken = export(source, instruction, asked.names, result, margin=asked.margin, layers=kept.of)
    return taken.encoded(asked.what, asked.sample)


def _result(asked: requests.ExportRequest, edits: Edits) -> Result | None:
    if asked.edit is not None and asked.result is not None:
        raise UserError("`edit` and `result` are both given: say the result in one way")
    if asked.edit is not None:
        made = edits.result(asked.edit, asked.variant)
        return Result(made.png(), made.pixels)
    return None if asked.result is None else decode_result(requests.decoded(asked.result, "result"), "in `result`")
