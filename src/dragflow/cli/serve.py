"""`dragflow serve`: edits over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from cyclopts import Parameter

from dragflow.cli.options import ASKING, FLAT, ModelArgs
from dragflow.cli.terminal import say
from dragflow.core.errors import Cancelled, UserError, unused
from dragflow.core.extras import extra
from dragflow.core.fields import FOLDER_BYTES
from dragflow.core.models import ModelOptions
from dragflow.files.outputs import check_folder
from dragflow.intent.options import ProviderOptions
from dragflow.service.scale import Scale

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
ScaleArgs = Annotated[Scale, FLAT]
ProviderArgs = Annotated[ProviderOptions, Parameter(name="provider"), ASKING]


def serve(
    *,
    server: ServerArgs = ServerOptions(),
    model: ModelArgs = ModelOptions(),
    provider: ProviderArgs = ProviderOptions(),
    scale: ScaleArgs = Scale(),
    ray: str | None = None,
    detach: bool = False,
) -> int:
    """Offer edits over HTTP to programs on this machine; with a token in $DRAGFLOW_TOKEN to others, too.

    Parameters
    ----------
    ray
        Address of a Ray cluster that is the server; auto: one that runs here, or is started here.
    detach
        Leave the server running on the cluster. The same command then replaces it, process by process.
    """

    def listens(at: str) -> None:
        say(f"dragflow listens at {at} ({at}/docs says for what)")

    if ray is None:
        if detach or scale != Scale():
            names = [name for name, value in vars(scale).items() if value != getattr(Scale, name)]
            raise unused([*names, *(["detach"] if detach else [])], "there is one process: name a cluster by `ray`")
        return served(server, model, provider, listens)
    return _served_by_cluster(server, model, provider, scale, listens, address=ray, stays=detach)


def _served_by_cluster(
    server: ServerOptions,
    model: ModelOptions,
    provider: ProviderOptions,
    scale: Scale,
    listens: Callable[[str], None],
    *,
    address: str,
    stays: bool,
) -> int:
    with extra("http", "the server"):
        from dragflow.http.app import check_address
        from dragflow.http.ray_front import Deployment, deployed
        from dragflow.http.settings import ServerSettings, models_of, token_of_environment
    from dragflow.files.models import settled_model

    check_address(server.host, ServerSettings(token=token_of_environment()))
    _check_cache(server)
    made = Deployment(
        models=tuple(map(settled_model, models_of(server.also, model))),  # short names mean nothing elsewhere
        provider=provider,
        scale=scale,
        queue=server.queue,
        seconds=server.seconds,
        keep_seconds=server.keep,
        upload_bytes=server.upload * MEBI,
        inversion_bytes=server.inversions * MEBI,
        cache=server.cache,
        cache_bytes=server.cache_size * MEBI,
        sam2=server.sam2,
    )
    try:
        with deployed(made, address, server.host, server.port, stays=stays) as at:
            listens(at)
            while not stays:
                time.sleep(3600)
    except (KeyboardInterrupt, Cancelled):
        say("dragflow has stopped")
    return 0


def served(
    server: ServerOptions,
    model: ModelOptions,
    provider: ProviderOptions,
    listens: Callable[[str], None],
    mounted: Callable[[FastAPI, Sequence[ModelOptions]], FastAPI] = lambda app, models: app,
    *,
    more: Callable[[], Sequence[str]] = tuple,
) -> int:
    """Run the server until it is interrupted.

    Args:
        server: where it listens, and its bounds.
        model: the first of its models.
        provider: guesses intents.
        listens: gets the address once it listens.
        mounted: puts a page onto the application.
        more: further models that may be asked for where only this machine can ask.
    """
    with extra("http", "the server"):
        from dragflow.http.app import check_address, create_app, run_server
        from dragflow.http.settings import ServerSettings, models_of, public_name, token_of_environment
    from dragflow.files.cache import cache_folder
    from dragflow.select import selector
    from dragflow.service import GuessOptions, ModelPool, Service
    from dragflow.service.estimates import Estimates
    from dragflow.service.limits import Limits

    token = token_of_environment()
    models = models_of(server.also, model)
    loaded = len(models)
    if token is None:
        names = [public_name(one) for one in models]
        others = [name for name in more() if name not in names]
        models += tuple(ModelOptions(name, device=model.device, offload=model.offload) for name in others)
    settings = ServerSettings(models=models, upload_bytes=server.upload * MEBI, keep_seconds=server.keep, token=token)
    check_address(server.host, settings)
    _check_cache(server)
    limits = Limits(queue=server.queue, seconds=server.seconds, keep_seconds=server.keep)
    pool = ModelPool(loaded, server.inversions * MEBI, server.cache, server.cache_size * MEBI)
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


def _check_cache(server: ServerOptions) -> None:
    if server.cache is not None:
        check_folder(server.cache)
    elif server.cache_size != ServerOptions.cache_size:
        raise UserError("`cache_size` has no effect here: name a folder by `cache`")
