"""`dragflow serve`: edits over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from cyclopts import Parameter

from dragflow.cli.options import ASKING, FLAT, ModelArgs
from dragflow.cli.terminal import say
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.extras import extra
from dragflow.core.fields import FOLDER_BYTES
from dragflow.core.models import ModelOptions
from dragflow.files.outputs import check_folder
from dragflow.intent.options import ProviderOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

MEBI = 2**20


@dataclass(frozen=True)
class ServerOptions:
    """Server."""

    host: str = "127.0.0.1"
    """Address that is listened at; one that other machines reach needs a token in $DRAGFLOW_TOKEN."""
    port: Annotated[int, Interval(ge=0, le=65535)] = 8765
    """0 for any that is free."""
    also: tuple[str, ...] = ()
    """A further model that may be asked for, loaded as --model is. Repeatable."""
    queue: Annotated[int, Interval(ge=1, le=10_000)] = 32
    """Most edits that run or wait."""
    seconds: Annotated[float, Interval(ge=1, le=604_800)] = 3600
    """How long one edit may run."""
    keep: Annotated[float, Interval(ge=1, le=604_800)] = 3600
    """Seconds for which pictures and results are kept."""
    inversions: Annotated[int, Interval(ge=0, le=1_048_576)] = 4096
    """Most MiB of inverted pictures that are kept for further edits of the same picture; 0 for none."""
    cache: Path | None = None
    """Folder in which inverted pictures are kept, also over a restart."""
    cache_size: Annotated[int, Interval(ge=1, le=16_777_216)] = FOLDER_BYTES // MEBI
    """Most MiB of that folder."""
    sam2: Path | None = None
    """Folder of a SAM 2.1 checkpoint that finds things under a click; by default that of the hub's cache, if there."""
    upload: Annotated[int, Interval(ge=1, le=16_384)] = 128
    """Most MiB of one request."""


ServerArgs = Annotated[ServerOptions, FLAT]
ProviderArgs = Annotated[ProviderOptions, Parameter(name="provider"), ASKING]


def serve(
    *,
    server: ServerArgs = ServerOptions(),
    model: ModelArgs = ModelOptions(),
    provider: ProviderArgs = ProviderOptions(),
) -> int:
    """Offer edits over HTTP to programs on this machine; with a token in $DRAGFLOW_TOKEN to others, too."""
    return served(server, model, provider, lambda at: say(f"dragflow listens at {at} ({at}/docs says for what)"))


def served(
    server: ServerOptions,
    model: ModelOptions,
    provider: ProviderOptions,
    listens: Callable[[str], None],
    mounted: Callable[[FastAPI, Sequence[ModelOptions]], FastAPI] = lambda app, models: app,
) -> int:
    """Run the server until it is interrupted.

    Args:
        server: where it listens, and its bounds.
        model: the first of its models.
        provider: guesses intents.
        listens: gets the address once it listens.
        mounted: puts a page onto the application.
    """
    with extra("http", "the server"):
        from dragflow.http.app import check_address, create_app, run_server
        from dragflow.http.settings import TOKEN_VARIABLE, ServerSettings, models_of
    from dragflow.files.cache import cache_folder
    from dragflow.select import selector
    from dragflow.service import GuessOptions, ModelPool, Service
    from dragflow.service.estimates import Estimates
    from dragflow.service.limits import Limits

    token = os.environ.get(TOKEN_VARIABLE)
    if token == "":
        raise UserError(f"${TOKEN_VARIABLE} is empty: set it to a token, or unset it")
    models = models_of(server.also, model)
    settings = ServerSettings(models=models, upload_bytes=server.upload * MEBI, keep_seconds=server.keep, token=token)
    check_address(server.host, settings)
    if server.cache is not None:
        check_folder(server.cache)
    elif server.cache_size != ServerOptions.cache_size:
        raise UserError("`cache_size` has no effect here: name a folder by `cache`")
    limits = Limits(queue=server.queue, seconds=server.seconds, keep_seconds=server.keep)
    pool = ModelPool(len(models), server.inversions * MEBI, server.cache, server.cache_size * MEBI)
    service = Service(pool, limits, Estimates(cache_folder("estimates", "edits.json")))
    selects = selector(server.sam2, model.device)
    app = mounted(create_app(service, settings, GuessOptions(provider), selects), models)
    try:
        run_server(app, server.host, server.port, listens)
    except (KeyboardInterrupt, Cancelled):
        say("dragflow has stopped")
    finally:
        service.close()
    return 0
