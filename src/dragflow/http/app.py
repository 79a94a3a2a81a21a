"""The application: every address under one guard; `run_server` runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

import dragflow
from dragflow.core.errors import UserError
from dragflow.http import about, drafts, edits, exports, models, projects, recipes
from dragflow.http.guard import Guard
from dragflow.http.pictures import Pictures
from dragflow.http.problems import add_handlers
from dragflow.http.settings import LOCAL, TOKEN_VARIABLE, ServerSettings
from dragflow.pixels.layers import Kept
from dragflow.select import BUILT_IN, Selector
from dragflow.service import Canvas, GuessOptions, Service

SWEEP = 30.0
"""Seconds between looks for what is kept too long."""


def create_app(
    service: Service, settings: ServerSettings, guesses: GuessOptions | None = None, selector: Selector = BUILT_IN
) -> FastAPI:
    """An application over a service; other pages may be mounted on it before it runs.

    Args:
        service: does the edits, and bounds and keeps them.
        settings: models, limits, token.
        guesses: which provider guesses intents; None for none.
        selector: finds the thing under points.
    """
    begun, pictures = edits.Edits(service, settings), Pictures(settings)

    @asynccontextmanager
    async def kept() -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(min(SWEEP, settings.keep_seconds))
                pictures.drop_expired()
                begun.counts()

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        begun.close()

    return application(begun, pictures, settings, guesses, selector, kept)


def application(
    begun: edits.Edits,
    pictures: Pictures,
    settings: ServerSettings,
    guesses: GuessOptions | None,
    selector: Selector,
    around: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    poll: float = edits.POLL,
) -> FastAPI:
    """An application over what may be kept elsewhere, and outlive it.

    Args:
        begun: the edits.
        pictures: the pictures.
        settings: models, limits, token.
        guesses: which provider guesses intents; None for none.
        selector: finds the thing under points.
        around: is entered before it runs, and left when it ends.
        poll: seconds between looks for new events of an edit.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(run_in_threadpool(drafts.warm))
        async with around():
            yield
            await warming

    # The pages about the interface come from this machine, too.
    app = FastAPIOffline(
        title="dragflow", version=dragflow.__version__, description=dragflow.__doc__ or "", lifespan=lifespan
    )
    metrics, kept = about.Metrics(begun), Kept(4)
    for routes in (
        edits.router(begun, pictures, settings, poll),
        drafts.router(pictures, Canvas(selector, kept), settings, guesses),
        exports.router(begun, pictures, kept),
        recipes.router(settings),
        projects.router(settings),
        models.router(begun, settings, selector.name),
        about.router(metrics),
    ):
        app.include_router(routes)
    add_handlers(app)
    app.add_middleware(about.Counted, metrics=metrics)
    app.add_middleware(Guard, settings=settings)
    return app


def check_address(host: str, settings: ServerSettings) -> None:
    """Refuse to offer a server without a token to other machines.

    Raises:
        UserError: for that.
    """
    if host not in LOCAL and settings.token is None:
        raise UserError(
            f"`host` is {host!r}, which other machines can reach: set ${TOKEN_VARIABLE} to a token that requests must "
            f"carry, or leave the address at {LOCAL[0]}"
        )


def run_server(app: FastAPI, host: str, port: int, started: Callable[[str], None]) -> None:
    """Run an application until it is interrupted; `started` gets its address once it listens.

    Raises:
        UserError: the address cannot be listened at.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            await super().startup(sockets)  # pyright: ignore[reportArgumentType]
            if self.started:
                name, number = self.servers[0].sockets[0].getsockname()[:2]
                started(f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}")

    # Addresses hold ids that give access: they are not logged.
    config = uvicorn.Config(app, host, port, access_log=False, log_level="warning", server_header=False)
    try:
        Server(config).run()
    except SystemExit as error:  # uvicorn has logged why
        raise UserError(
            f"{host}:{port} cannot be listened at: choose another `port`, 0 for any that is free"
        ) from error
