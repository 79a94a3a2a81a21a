"""Workers that are actors of a Ray cluster: one for each GPU, or for each CPU where there is none, on any node."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dragflow.core.errors import UserError
from dragflow.core.extras import extra
from dragflow.core.text import one_line
from dragflow.service.crew import Crew, Died, Done, Ready, Work
from dragflow.service.processes import outcome

AUTO = "auto"
"""The cluster of $RAY_ADDRESS, else one that runs on this machine, else one that is started here for this run."""
_PATIENCE = 60.0
"""Seconds without any actor after which that is told."""

_log = logging.getLogger(__name__)


class RayActors(Crew):
    """One actor for each GPU of the cluster; jobs go to them through its object store.

    An actor that dies, with its node or alone, is replaced wherever there is room; until then the others work on.
    """

    def __init__(
        self,
        address: str,
        count: int | None = None,
        setup: Callable[[], None] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Connect to a cluster.

        Args:
            address: `AUTO`, or as `ray.init` takes it.
            count: how many actors; None for as many as there are GPUs, or CPUs.
            setup: what each actor starts with.
            seconds: how long a job may take; None for as long as it takes.

        Raises:
            CapabilityError: Ray is not installed.
            UserError: the cluster cannot be reached, or has no room.
        """
        self._ray, self._own = connected(address)
        gpus, cpus = size_of(self._ray)
        super().__init__(min(count, gpus) if count and gpus else count or gpus or max(1, cpus), seconds)
        self._share = {"num_cpus": 1, "num_gpus": 1 if gpus else 0}
        self._setup = setup
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, bool]] = {}
        """Of everything that is awaited: its actor, and whether that is starting."""

    def start(self, worker: int) -> None:
        """Ask for an actor."""
        actor = self._ray.remote(_Actor).options(**self._share).remote(self._share["num_gpus"] > 0, self._setup)
        self._actors[worker] = actor
        self._pending[actor.ready.remote()] = worker, True

    def send(self, worker: int, work: Work[Any, Any], job: Any) -> None:
        """Give a job to an actor."""
        self._pending[self._actors[worker].do.remote(work, job)] = worker, False

    def wait(self, seconds: float | None) -> Ready | Done | Died | None:
        """The next thing that happens to an actor."""
        found = self._next(seconds)
        if found is None:
            return None
        worker, starting = self._pending.pop(found)
        try:
            value = self._ray.get(found)
        except self._ray.exceptions.RayError as error:
            self.stop(worker, idle=False)
            return Died(worker, one_line(f"an actor of Ray died ({self._told(error)})"))
        if starting:
            return Ready(worker)
        result, raised = value
        return Done(worker, lambda: _raise(raised) if raised is not None else result)

    def stop(self, worker: int, *, idle: bool) -> None:
        """End an actor."""
        actor = self._actors.pop(worker, None)
        # What it still owes would be taken for the word of the actor that takes its place.
        self._pending = {ref: awaited for ref, awaited in self._pending.items() if awaited[0] != worker}
        if actor is not None:
            with suppress(Exception):  # it, its node or the cluster is gone already
                self._ray.kill(actor)

    def close(self) -> None:
        """End the actors, and what was started for them."""
        super().close()
        if self._own:
            self._ray.shutdown()

    def _told(self, error: Exception) -> str:
        """Why; at the end of a traceback, where one came along."""
        traced = isinstance(error, self._ray.exceptions.RayTaskError)
        return f"{type(error).__name__}: {_line_of(error, -1 if traced else 0)}"

    def _next(self, seconds: float | None) -> Any:
        told = False
        while True:
            patience = _PATIENCE if seconds is None else seconds
            found, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=patience)
            if found:
                return found[0]
            if seconds is not None:
                return None
            if not told and all(starting for _, starting in self._pending.values()):
                told = True
                _log.warning("the cluster has no room for an actor with %s: waiting for it", self._share)


class _Actor:
    """One loaded editor, wherever Ray put it."""

    def __init__(self, accelerated: bool, setup: Callable[[], None] | None) -> None:
        if setup is not None:
            setup()
        if not accelerated:
            import torch

            torch.set_num_threads(1)

    def ready(self) -> None:
        """Answers once the actor has started."""

    def do(self, work: Work[Any, Any], job: Any) -> tuple[Any, Exception | None]:
        """The result of a job, or what it raised: an error of the user is not the machine's."""
        return outcome(work, job, None)  # Ray shows it one accelerator at most


def connected(address: str) -> tuple[Any, bool]:
    """Ray, connected to a cluster, and whether that happened here; see `RayActors`.

    Raises:
        CapabilityError: Ray is not installed.
        UserError: the cluster cannot be reached.
    """
    with extra("ray", "`ray`"):
        import ray
    own = not ray.is_initialized()
    if own:
        _connect(ray, address)
    return ray, own


def size_of(ray: Any) -> tuple[int, int]:
    """How many GPUs and CPUs a cluster has."""
    resources = ray.cluster_resources()
    return int(resources.get("GPU", 0)), int(resources.get("CPU", 0))


def _connect(ray: Any, address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    try:
        ray.init(address=None if address == AUTO else address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(
            f"`ray` is {address!r}: this Ray cluster cannot be reached ({_line_of(error, 0)}); give the address that "
            f"its head told when it was started, or {AUTO}"
        ) from error
    finally:
        # What Ray has to say of workers that died goes to stdout, whatever its options are; that is not its own here.
        ray._private.worker.print_to_stdstream = _note
        if here:
            signal.signal(signal.SIGTERM, usual)  # Ray's own would end the process before anything is finished


def _note(data: dict[str, Any], **_: object) -> None:
    for line in data.get("lines", ()):
        _log.info("%s", one_line(str(line)))


def _line_of(error: BaseException, number: int) -> str:
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[number]


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which is what counts of a traceback."""
    return one_line(_line_of(error, -1))


def _raise(error: BaseException) -> Any:
    raise error
