"""The server on a Ray cluster: fronts that answer, one keeper of what outlives a request, and replicas that edit.

Fronts and replicas are deployments of Ray Serve, which scales, drains and replaces them. The keeper is an actor beside
them, so that no edit, picture or result is lost while they are replaced.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from annotated_types import Interval
from fastapi import FastAPI
from pydantic import TypeAdapter

from dragflow.core.errors import UserError
from dragflow.core.extras import extra
from dragflow.core.fields import FOLDER_BYTES, STRICT, AtLeastOne
from dragflow.core.models import ModelOptions
from dragflow.files import schema
from dragflow.http.app import SWEEP, application
from dragflow.http.edits import Edits
from dragflow.http.pictures import Pictures
from dragflow.http.settings import TOKEN_VARIABLE, ServerSettings, token_of_environment
from dragflow.intent.options import ProviderOptions
from dragflow.select import selector
from dragflow.service import GuessOptions, ModelPool, Service
from dragflow.service.limits import Limits
from dragflow.service.processes import sendable
from dragflow.service.ray_actors import connected, last_line, size_of
from dragflow.service.ray_editors import EDITORS, RayEditors, Replica, editors
from dragflow.service.scale import Scale

APPLICATION = "dragflow"
"""Name of the application, of the keeper and of its namespace."""
_FRONTS = "Fronts"
_HEAD = {"node:__internal_head__": 0.001}
"""Ray's mark of the head node, which is the last one to go."""
_POLL = 0.5
"""Seconds between looks of a front for new events of an edit, each of which is a call to the keeper."""
_CALLS = 64
"""Calls of fronts that the keeper answers at the same time."""
_REQUESTS = 1000
"""Requests, with streams of events, that a front answers at the same time."""
_QUIET = {"enable_access_log": False}
"""What Ray Serve logs: no addresses, which hold ids that give access."""
_TRIES = 3
"""How often a replica is started before the server is given up."""
_DRAIN = 60.0
"""Seconds that a replica has, beyond those of an edit, to end before it is killed."""


@dataclass(frozen=True)
class Deployment:
    """All that a server on a cluster is made of; the `args` of a configuration of Ray Serve."""

    __pydantic_config__ = STRICT

    models: tuple[ModelOptions, ...]
    provider: ProviderOptions = ProviderOptions()
    scale: Scale = field(default_factory=Scale)
    queue: AtLeastOne = 256
    seconds: Annotated[float, Interval(ge=1, le=604_800)] = 3600
    keep_seconds: Annotated[float, Interval(ge=1, le=604_800)] = 3600
    preview_seconds: Annotated[float, Interval(ge=0, le=3600)] = 2
    upload_bytes: int = 128 * 2**20
    inversion_bytes: int = 4 * 2**30
    cache: Path | None = None
    """The same folder on every node, which they need not share."""
    cache_bytes: int = FOLDER_BYTES
    sam2: Path | None = None
    """On every node."""


class Keeper:
    """Pictures and edits, for fronts that come and go."""

    def __init__(self, settings: ServerSettings, limits: Limits, width: int) -> None:
        service = Service(ModelPool(), limits, elsewhere=RayEditors(APPLICATION, width))
        # Replicas choose the previews that are due: every one that comes is shown.
        every = replace(settings, preview_seconds=min(settings.preview_seconds, 1e-6))
        self._kept = {"edits": Edits(service, every), "pictures": Pictures(settings)}
        self._keep_seconds = settings.keep_seconds
        threading.Thread(target=self._sweep, daemon=True).start()

    def ready(self) -> None:
        """Answers once it keeps."""

    def call(self, what: Literal["edits", "pictures"], method: str, *args: Any) -> tuple[Any, Exception | None]:
        """What a method gives, or what it raised."""
        try:
            return getattr(self._kept[what], method)(*args), None
        except Exception as error:
            return None, sendable(error)

    def _sweep(self) -> None:
        """Drop what has expired, and end when the server was ended by others than its command."""
        import ray
        from ray import serve

        missing = 0
        while missing < 2:
            time.sleep(min(SWEEP, self._keep_seconds))
            cast("Pictures", self._kept["pictures"]).drop_expired()
            cast("Edits", self._kept["edits"]).counts()
            missing = 0 if APPLICATION in serve.status().applications else missing + 1
        ray.kill(ray.get_runtime_context().current_actor)


class _Kept:
    """Edits or pictures of the keeper."""

    def __init__(self, keeper: Any, what: Literal["edits", "pictures"]) -> None:
        self._keeper, self._what = keeper, what

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._call, method)

    def _call(self, method: str, *args: Any) -> Any:
        import ray

        value, error = ray.get(self._keeper.call.remote(self._what, method, *args))
        if error is not None:
            raise error
        return value


class Fronts:
    """Answers requests; holds nothing."""

    def __init__(self, made: Deployment, settings: ServerSettings, width: int, editors: Any) -> None:
        import ray

        limits = Limits(queue=made.queue, seconds=made.seconds, keep_seconds=made.keep_seconds)
        self._made, self._settings = made, settings
        self._keeper = (
            ray.remote(Keeper)
            .options(
                name=APPLICATION,
                namespace=APPLICATION,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                resources=_HEAD,
                max_restarts=-1,
                max_concurrency=_CALLS,
            )
            .remote(settings, limits, width)
        )
        ray.get(self._keeper.ready.remote())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(
            cast("Edits", _Kept(self._keeper, "edits")),
            cast("Pictures", _Kept(self._keeper, "pictures")),
            self._settings,
            GuessOptions(self._made.provider),
            selector(self._made.sam2, None),
            poll=_POLL,
        )


def build(args: dict[str, Any]) -> Any:
    """The application for a configuration of Ray Serve, whose `args` are the fields of `Deployment`.

    Raises:
        UserError: one of them breaks its rule, or there is no token, without which no other machine is served.
    """
    if token_of_environment() is None:
        raise UserError(f"set ${TOKEN_VARIABLE} on the nodes to a token that requests must carry")
    return bound(schema.parse(TypeAdapter(Deployment), args, "`args`"))


def bound(made: Deployment) -> Any:
    """The application, on the cluster to which this process is connected.

    Raises:
        UserError: fewer replicas are allowed than are needed.
    """
    import ray
    from ray import serve

    share, most = made.scale.on(*size_of(ray))
    settings = ServerSettings(
        models=made.models,
        upload_bytes=made.upload_bytes,
        keep_seconds=made.keep_seconds,
        preview_seconds=made.preview_seconds,
        token=token_of_environment(),
    )
    replicas = serve.deployment(
        editors(serve),
        name=EDITORS,
        ray_actor_options={"num_cpus": 0 if share else 1, "num_gpus": share},
        max_ongoing_requests=1,
        autoscaling_config={
            "min_replicas": made.scale.min_replicas,
            "max_replicas": most,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 5,
        },
        graceful_shutdown_timeout_s=made.seconds + _DRAIN,
        max_constructor_retry_count=_TRIES,
        logging_config=_QUIET,
    ).bind(_replica(made, accelerated=share > 0))
    fronts = serve.deployment(
        serve.ingress()(Fronts),
        name=_FRONTS,
        num_replicas=made.scale.fronts,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=_REQUESTS,
        max_surge_percent=100,  # a new one answers before an old one stops
        logging_config=_QUIET,
    )
    return fronts.bind(made, settings, most, replicas)


@contextmanager
def deployed(made: Deployment, address: str, host: str, port: int, *, stays: bool = False) -> Iterator[str]:
    """The server on a cluster; one that runs there is replaced, process by process. Gives where it is reached.

    Args:
        made: what it is made of.
        address: of the cluster; see `RayActors`.
        host: what Ray Serve listens at, on the head node.
        port: 0 for one that is free on this machine.
        stays: leave it running.

    Raises:
        CapabilityError: Ray Serve is not installed.
        UserError: no such cluster, it serves at another address already, or a model cannot be loaded.
    """
    with extra("ray", "`ray`"):
        from ray import serve
    ray, own = connected(address)
    try:
        if own and stays and ray._private.worker._global_node.is_head():
            raise UserError("`detach` has no effect here: the cluster ends with this command; start one by `ray start`")
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        at = _listening(serve, host, port)
        try:
            serve.run(bound(made), name=APPLICATION)
        except RuntimeError as error:
            raise UserError(f"the server cannot start on this cluster: {last_line(error)}") from error
        try:
            yield at
        finally:
            if not stays:
                _stop(ray, serve)
    finally:
        if own:
            ray.shutdown()


def _listening(serve: Any, host: str, port: int) -> str:
    """Have Ray Serve listen at an address; gives it."""
    from ray.serve.context import _get_global_client

    serve.start("HeadOnly", {"host": host, "port": port or _free_port(host)}, logging_config=_QUIET)
    client: Any = _get_global_client()
    found = client.http_config
    if found.host != host or port not in (0, found.port):
        raise UserError(
            f"Ray Serve listens at {found.host}:{found.port} on this cluster already: give these as `host` and `port`, "
            "or end it by `serve shutdown`"
        )
    return f"http://[{host}]:{found.port}" if ":" in host else f"http://{host}:{found.port}"


def _stop(ray: Any, serve: Any) -> None:
    """End the server with what it does and keeps."""
    keeper = ray.get_actor(APPLICATION, APPLICATION)
    ray.get(keeper.call.remote("edits", "close"))
    serve.delete(APPLICATION)
    ray.kill(keeper)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        return found.getsockname()[1]


def _replica(made: Deployment, *, accelerated: bool) -> Replica:
    return Replica(
        models=made.models,
        seconds=made.seconds,
        preview_seconds=made.preview_seconds,
        inversion_bytes=made.inversion_bytes,
        cache=made.cache,
        cache_bytes=made.cache_bytes,
        accelerated=accelerated,
    )
