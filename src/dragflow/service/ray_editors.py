"""Edits on the replicas of a Ray Serve deployment: the replicas, and what a service gives them jobs by."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragflow.core.arrays import Pixels
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.events import Event, Observer, Stepped
from dragflow.core.extras import extra
from dragflow.core.models import ModelOptions
from dragflow.core.text import one_line
from dragflow.files.digests import digest
from dragflow.service.crew import TRIES, MachineFault, raise_machine_fault
from dragflow.service.jobs import EditJob
from dragflow.service.limits import Limits
from dragflow.service.pool import ModelPool
from dragflow.service.processes import sendable
from dragflow.service.run import Handle, Service

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult

EDITORS = "Editors"
"""Name of the deployment."""
_POLL = 0.02
"""Seconds between looks for what a running edit has to say."""
_QUIET = 0.5
"""Seconds after which a replica says that it is still there, and hears whether it is still wanted."""
_STUCK = 60.0
"""Seconds that an edit which nobody waits for has to end before its replica is replaced."""
_PICTURES = 256
"""Pictures of which a replica says that it holds them."""


@dataclass(frozen=True)
class Replica:
    """What every replica is made of."""

    models: tuple[ModelOptions, ...]
    """What it may be asked for; the first is loaded before it takes jobs."""
    seconds: float
    """How long an edit may run."""
    preview_seconds: float
    """Least seconds between two previews of a running edit; 0 for none."""
    inversion_bytes: int
    cache: Path | None
    cache_bytes: int
    accelerated: bool
    """Whether it has a GPU; without one it has one thread."""


@dataclass(frozen=True, eq=False)
class Word:
    """What a replica says while it edits; without anything, that it is there."""

    events: tuple[tuple[Event, Pixels | None], ...] = ()
    """Each with the preview that was due then."""
    result: EditResult | None = None
    error: Exception | None = None


class RayEditors:
    """Gives jobs to the replicas: those of one picture to one that holds it, as long as that is not busy."""

    def __init__(self, application: str, width: int) -> None:
        """Give `width` jobs at most at the same time to the replicas of an application."""
        with extra("ray", "`ray`"):
            from ray import exceptions, serve
        self.width = width
        self._application, self._serve, self._errors = application, serve, exceptions

    def run(self, job: EditJob, observer: Observer, begun: Callable[[], None]) -> EditResult:
        """See `Elsewhere.run`; a job whose replica dies is begun again on another."""
        why = ""
        for _ in range(TRIES):
            words = self._words(job)
            try:
                return _followed(words, observer, begun)
            except self._errors.RayTaskError:
                raise  # of the code, not of a machine
            except self._errors.RayError as error:
                why = one_line(f"{type(error).__name__}: {error}")[:200]
            finally:
                words.cancel()
        raise DragFlowError(f"the machine that edited was lost {TRIES} times, perhaps for lack of memory ({why})")

    def _words(self, job: EditJob) -> Any:
        deployed = self._serve.get_deployment_handle(EDITORS, self._application)
        key = digest(job.source.sha256, job.model)
        return deployed.options(stream=True, multiplexed_model_id=key).edit.remote(job)


def _followed(words: Iterator[Word], observer: Observer, begun: Callable[[], None]) -> EditResult:
    for word in words:
        begun()
        for event, pixels in word.events:
            shown = isinstance(event, Stepped) and pixels is not None
            observer(replace(event, preview=lambda pixels=pixels: pixels) if shown else event)
        if word.error is not None:
            raise word.error
        if word.result is not None:
            return word.result
    raise DragFlowError("a replica ended its answer before the edit was done")


class Editors:
    """A replica: loaded models, which edit one picture after the other."""

    def __init__(self, made: Replica) -> None:
        from ray import serve

        if not made.accelerated:
            import torch

            torch.set_num_threads(1)
        pool = ModelPool(len(made.models), made.inversion_bytes, made.cache, made.cache_bytes)
        for model in made.models[:1]:
            pool.get(model)
        self._made, self._service = made, Service(pool, Limits(seconds=made.seconds, keep_seconds=0.1))
        self._left = dict[Handle, float]()
        """Edits that nobody waits for, and since when."""
        self._picture_key = serve.get_multiplexed_model_id

    async def hold(self, key: str) -> str:
        """Note that this replica holds a picture, so that further edits of it come here."""
        return key

    async def edit(self, job: EditJob) -> AsyncIterator[Word]:
        """Edit, and tell; whoever does not listen to the end stops it."""
        self.check_health()
        await self.hold(self._picture_key())
        said = deque[tuple[Event, Pixels | None]]()
        handle = self._service.submit(job, self._sparse(said))
        quiet = time.monotonic()
        try:
            while True:
                ended = handle.state not in ("queued", "running")
                events = tuple(said.popleft() for _ in range(len(said)))
                if events or time.monotonic() - quiet > _QUIET:
                    quiet = time.monotonic()
                    yield Word(events)
                if ended:
                    yield _last(handle)
                    return
                if (handle.seconds or 0) > self._made.seconds + _STUCK:  # it does not even come to its next event
                    yield Word(error=UserError(f"the edit was stopped after {self._made.seconds:g} seconds"))
                    return
                await asyncio.sleep(_POLL)
        finally:
            handle.cancel()
            self._left[handle] = time.monotonic()

    def check_health(self) -> None:
        """End this process if an edit that nobody waits for does not end: Ray Serve starts another."""
        self._left = {handle: since for handle, since in self._left.items() if handle.state in ("queued", "running")}
        if any(time.monotonic() - since > _STUCK for since in self._left.values()):
            os._exit(1)

    def _sparse(self, said: deque[tuple[Event, Pixels | None]]) -> Observer:
        """Notes events, with a preview now and then."""
        last = time.monotonic()

        def observe(event: Event) -> None:
            nonlocal last
            least, pixels = self._made.preview_seconds, None
            if isinstance(event, Stepped):
                if least and event.preview is not None and time.monotonic() - last >= least:
                    pixels, last = event.preview(), time.monotonic()
                event = replace(event, preview=None)
            said.append((event, pixels))

        return observe


def editors(serve: Any) -> type[Editors]:
    """The class of the replicas, with which Ray Serve notes the pictures that each holds."""

    class Holding(Editors):
        hold = serve.multiplexed(max_num_models_per_replica=_PICTURES)(Editors.hold)

    return Holding


def _last(handle: Handle) -> Word:
    """How an edit ended."""
    error = handle.error
    if error is None:
        return Word(result=handle.result())
    if not isinstance(error, Exception):
        raise error
    try:
        raise_machine_fault(error)
    except MachineFault:
        os._exit(1)  # another process is started, and the job comes to that
    return Word(error=sendable(error))
