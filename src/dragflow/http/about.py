"""What a server says of itself: health and metrics."""

from __future__ import annotations

from typing import get_args

import psutil
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragflow.http.edits import Edits
from dragflow.service.run import State


class Metrics:
    """Counters and gauges of one application."""

    def __init__(self, edits: Edits) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dragflow_requests", "Requests by their route and status.", ("route", "status"), registry=self.registry
        )
        jobs = Gauge("dragflow_jobs", "Jobs that are kept, by their state.", ("state",), registry=self.registry)
        for state in get_args(State):
            jobs.labels(state).set_function(lambda state=state: edits.counts()[state])
        memory = Gauge("dragflow_resident_bytes", "Resident memory of the server.", registry=self.registry)
        memory.set_function(lambda: psutil.Process().memory_info().rss)


class Counted:
    """Middleware that counts requests by the route that answered, never by an address, which may hold an id."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                self._metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)


def router(metrics: Metrics) -> APIRouter:
    """The addresses about the server."""
    routes = APIRouter(tags=["server"])

    @routes.get("/healthz")
    def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @routes.get("/metrics", response_class=Response)
    def numbers() -> Response:
        """Prometheus text."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes
