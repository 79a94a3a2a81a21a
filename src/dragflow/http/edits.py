"""`/v1/edits`: submit, follow, fetch, cancel. A request is one or several variants, each a job of the service."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image
from sse_starlette.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from dragflow.core.errors import Cancelled, DragFlowError
from dragflow.core.events import Event, Stepped
from dragflow.core.fields import Name
from dragflow.core.models import ModelOptions
from dragflow.editor.result import EditResult
from dragflow.files.presets import override
from dragflow.http import requests
from dragflow.http.pictures import Pictures
from dragflow.http.refused import Refused, not_found
from dragflow.http.settings import ServerSettings, public_name
from dragflow.service import EditJob, Handle, Service, plan, to_data
from dragflow.service.limits import Busy
from dragflow.service.run import State

POLL = 0.1
"""Seconds between looks for new events, which come from another thread."""
_SHOWN = 1024
"""Longest side of a decoded preview."""
_ENDED = ("done", "failed", "cancelled")


@dataclass(eq=False)
class Edit:
    """One request for an edit: its variants, and the newest decoded preview of each."""

    handles: tuple[Handle, ...]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    previews: dict[int, tuple[int, bytes]] = field(default_factory=dict[int, tuple[int, bytes]])
    """By variant: how many there were, and the newest as JPEG."""


@dataclass(frozen=True)
class Heard:
    """How far a listener has come with an edit."""

    variant: int = 0
    events: int = 0
    """Of that variant."""
    previews: int = 0


class Edits:
    """The edits that are kept, by ids that cannot be guessed; the service keeps what they made.

    What its methods take and give can be sent to another process.
    """

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        self._service, self._settings = service, settings
        self._edits: dict[str, Edit] = {}
        self._changing = threading.Lock()

    def submit(self, job: EditJob, count: int) -> dict[str, Any]:
        """Begin an edit with so many variants; gives its state.

        Raises:
            Refused: too many wait already.
        """
        edit = Edit(())
        seeds = [job.config.seed + number for number in range(count)]
        try:
            edit.handles = self._service.submit_variants(job, seeds, lambda number: self._watch(edit, number))
        except Busy as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "10"}) from error
        with self._changing:
            self._drop_expired()
            self._edits[edit.id] = edit
        return self._state(edit)

    def estimate(self, job: EditJob, count: int) -> dict[str, Any]:
        """What `POST /v1/estimates` says."""
        found = self._service.estimate(job, count)
        digits = {"seconds": 1, "load_seconds": 1, "memory_mib": 0}
        return {name: None if value is None else round(value, digits[name]) for name, value in asdict(found).items()}

    def load(self, model: ModelOptions) -> None:
        """Load a model before an edit asks for it; see `Service.load`."""
        self._service.load(model)

    def unload(self, model: ModelOptions) -> None:
        """Free the memory of a model; see `Service.unload`."""
        self._service.unload(model)

    def is_loaded(self, model: ModelOptions) -> bool:
        """Whether an edit would find a model loaded."""
        return self._service.is_loaded(model)

    def counts(self) -> dict[State, int]:
        """How many jobs are kept, by their state; what is no longer kept is dropped."""
        counts: dict[State, int] = dict.fromkeys(get_args(State), 0)
        for handle in self._service.handles:
            counts[handle.state] += 1
        return counts

    def close(self) -> None:
        """Cancel everything."""
        for handle in self._service.handles:
            handle.cancel()

    def state(self, name: str) -> dict[str, Any]:
        """What `GET /v1/edits/{id}` says.

        Raises:
            Refused: no edit has this id, or it is no longer kept.
        """
        return self._state(self._get(name))

    def cancel(self, name: str) -> dict[str, Any]:
        """Stop an edit; gives its state.

        Raises:
            Refused: there is no such edit.
        """
        edit = self._get(name)
        for handle in edit.handles:
            if handle.state not in _ENDED:
                handle.cancel()
        return self._state(edit)

    def preview(self, name: str, variant: int) -> bytes:
        """The newest decoded preview of a variant, as JPEG.

        Raises:
            Refused: there is no such edit or variant, or it has no preview.
        """
        edit = self._get(name)
        _handle(edit, variant)
        if variant not in edit.previews:
            raise Refused(HTTPStatus.CONFLICT, "this variant has no preview yet: its events say when it has")
        return edit.previews[variant][1]

    def news(self, name: str, heard: Heard) -> tuple[list[dict[str, str]], Heard | None]:
        """Server-sent events that a listener has not heard yet, and how far it is then; None when that was the last.

        Raises:
            Refused: there is no such edit.
        """
        edit, said = self._get(name), list[dict[str, str]]()
        for number in range(heard.variant, len(edit.handles)):
            handle = edit.handles[number]
            ended = handle.state in _ENDED  # looked at first: what comes before it is then all there
            if number != heard.variant:
                heard = Heard(number)
            fresh = handle.recorded[heard.events :]
            said += [_said("progress", {"variant": number} | to_data(event)) for event in fresh]
            count = edit.previews.get(number, (0, b""))[0]
            if count > heard.previews:
                address = f"/v1/edits/{name}/preview.jpg?variant={number}&count={count}"
                said.append(_said("preview", {"variant": number, "preview": address}))
            if not ended:
                return said, Heard(number, heard.events + len(fresh), count)
            said.append(_said("ended", {"variant": number} | self._variant(edit, number)))
        return [*said, _said("end", self._state(edit))], None

    def result(self, name: str, variant: int) -> EditResult:
        """What a variant gave.

        Raises:
            Refused: there is no such edit or variant, or it has no result.
        """
        handle = _handle(self._get(name), variant)
        if handle.state != "done":
            raise Refused(HTTPStatus.CONFLICT, _why_no_result(handle))
        return handle.result()

    def _get(self, name: str) -> Edit:
        with self._changing:
            self._drop_expired()
            if name not in self._edits:
                raise not_found("edit")
            return self._edits[name]

    def _state(self, edit: Edit) -> dict[str, Any]:
        job = edit.handles[0].job
        return {
            "id": edit.id,
            "state": _overall([handle.state for handle in edit.handles]),
            "model": public_name(job.model),
            "variants": [self._variant(edit, number) for number in range(len(edit.handles))],
            "events": f"/v1/edits/{edit.id}/events",
        }

    def _variant(self, edit: Edit, number: int) -> dict[str, Any]:
        handle = edit.handles[number]
        said: dict[str, Any] = {"seed": handle.job.config.seed, "state": handle.state}
        if (position := self._service.position(handle)) is not None:
            said["position"] = position
        if handle.seconds is not None:
            said["seconds"] = round(handle.seconds, 2)
        if handle.state == "failed":
            said["error"] = sentence(handle.error)
        if handle.state == "done":
            said["result"] = f"/v1/edits/{edit.id}/result.png?variant={number}"
        if number in edit.previews:
            said["preview"] = f"/v1/edits/{edit.id}/preview.jpg?variant={number}&count={edit.previews[number][0]}"
        return said

    def _watch(self, edit: Edit, number: int) -> Callable[[Event], None]:
        """An observer that decodes a preview now and then."""
        last = time.monotonic()

        def observe(event: Event) -> None:
            nonlocal last
            least = self._settings.preview_seconds
            if not least or not isinstance(event, Stepped) or event.preview is None:
                return
            if time.monotonic() - last >= least:
                edit.previews[number] = (edit.previews.get(number, (0, b""))[0] + 1, _jpeg(event.preview()))
                last = time.monotonic()

        return observe

    def _drop_expired(self) -> None:
        kept = {handle.id for handle in self._service.handles}
        for name, edit in list(self._edits.items()):
            if not any(handle.id in kept for handle in edit.handles):
                del self._edits[name]


def router(edits: Edits, pictures: Pictures, settings: ServerSettings, poll: float = POLL) -> APIRouter:
    """The addresses of edits; streams look for new events every `poll` seconds."""
    routes = APIRouter(tags=["edits"])

    @routes.post("/v1/edits", status_code=202, openapi_extra=requests.body_schema(requests.EditRequest))
    async def submit(request: Request) -> dict[str, Any]:
        """Begin an edit."""
        asked: requests.EditRequest = await requests.read(request, requests.EditRequest)
        return await run_in_threadpool(lambda: edits.submit(_job(asked, pictures, settings), asked.variants))

    @routes.post("/v1/estimates", openapi_extra=requests.body_schema(requests.EditRequest))
    async def estimate(request: Request) -> dict[str, Any]:
        """What an edit will probably take, from what others took on this machine before; null where it is not known."""
        asked: requests.EditRequest = await requests.read(request, requests.EditRequest)
        return await run_in_threadpool(lambda: edits.estimate(_job(asked, pictures, settings), asked.variants))

    @routes.get("/v1/edits/{name}")
    def state(name: Name) -> dict[str, Any]:
        """Where an edit is."""
        return edits.state(name)

    @routes.get("/v1/edits/{name}/events")
    async def events(name: Name) -> Response:
        """Server-sent events: phases and steps of every variant, then its end."""
        first = await run_in_threadpool(edits.news, name, Heard())  # raises while there is no answer yet
        return EventSourceResponse(_stream(edits, name, poll, *first))

    @routes.get("/v1/edits/{name}/result.png", response_class=Response)
    def result(name: Name, variant: Annotated[int, Query(ge=0)] = 0) -> Response:
        """The PNG of a variant, with its recipe."""
        return Response(edits.result(name, variant).png(), media_type="image/png")

    @routes.get("/v1/edits/{name}/preview.jpg", response_class=Response)
    def preview(name: Name, variant: Annotated[int, Query(ge=0)] = 0) -> Response:
        """The newest decoded preview of a variant that runs."""
        return Response(edits.preview(name, variant), media_type="image/jpeg")

    @routes.delete("/v1/edits/{name}")
    def cancel(name: Name) -> JSONResponse:
        """Stop an edit; what was made of it stays."""
        return JSONResponse(edits.cancel(name))

    return routes


def sentence(error: BaseException | None) -> str:
    """What a client is told of a job that failed."""
    known = isinstance(error, DragFlowError) and not isinstance(error, Cancelled)
    return str(error) if known else "the edit failed inside the server: its log says why"


def _job(asked: requests.EditRequest, pictures: Pictures, settings: ServerSettings) -> EditJob:
    source, instruction = requests.picture(asked, pictures), requests.instruction(asked)
    model, config = requests.configured(asked, settings)
    seed = [] if asked.seed is None else [f"seed={asked.seed}"]
    return plan(source, instruction, override(config, seed), model)


def _handle(edit: Edit, variant: int) -> Handle:
    if variant >= len(edit.handles):
        raise Refused(
            HTTPStatus.NOT_FOUND, f"variant {variant} does not exist: the last one is {len(edit.handles) - 1}"
        )
    return edit.handles[variant]


def _why_no_result(handle: Handle) -> str:
    if handle.state == "failed":
        return sentence(handle.error)
    return "the edit was cancelled" if handle.state == "cancelled" else "the edit is not done yet: follow its events"


def _overall(states: list[str]) -> str:
    """The state of several variants: what is still to come first, then the best of what came."""
    return next(state for state in ("running", "queued", "done", "failed", "cancelled") if state in states)


async def _stream(
    edits: Edits, name: str, poll: float, said: list[dict[str, str]], heard: Heard | None
) -> AsyncIterator[dict[str, str]]:
    """Every event from the first on, of all variants in turn; each variant's end; a preview when there is a new one."""
    while True:
        for one in said:
            yield one
        if heard is None:
            return
        await asyncio.sleep(poll)
        said, heard = await run_in_threadpool(edits.news, name, heard)


def _said(event: str, data: dict[str, Any]) -> dict[str, str]:
    return {"event": event, "data": json.dumps(data)}


def _jpeg(pixels: Any) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((_SHOWN, _SHOWN))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
