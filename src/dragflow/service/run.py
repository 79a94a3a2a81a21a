"""Running jobs: `submit` gives a handle with events, cancelling and the result; `run` does the work itself."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from dragflow.core.checked import check, expect
from dragflow.core.errors import Cancelled, DragFlowError, UserError
from dragflow.core.events import Event, Observer, Stepped, silent
from dragflow.core.fields import Seed
from dragflow.core.models import ModelOptions
from dragflow.files.presets import why_alike
from dragflow.service.estimates import Estimate, Estimates, measured
from dragflow.service.jobs import EditJob
from dragflow.service.limits import Busy, Limits
from dragflow.service.pool import ModelPool

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult
    from dragflow.editor.session import Session

_log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]


def open_session(job: EditJob, pool: ModelPool, observer: Observer = silent) -> Session:
    """Load the model and invert the picture of a job, which edits of the same picture share."""
    expect(EditJob, job)
    return (
        expect(ModelPool, pool)
        .get(job.model)
        .open(job.source, job.instruction.prompt, config=job.config, observer=observer)
    )


def run(job: EditJob, pool: ModelPool, observer: Observer = silent) -> EditResult:
    """Run a job in this thread.

    Raises:
        UserError: the model cannot be loaded, or does not have the weights that were asked for.
        NumericalError: the latent is no longer finite.
        Cancelled: the observer stopped it.
    """
    return open_session(job, pool, observer).edit(job.task, job.config, observer)


class Elsewhere(Protocol):
    """Where a service runs its jobs if not on models of this process."""

    width: int
    """How many jobs of a device it may be given at the same time."""

    def run(self, job: EditJob, observer: Observer, begun: Callable[[], None]) -> EditResult:
        """Run a job, calling `begun` when that begins and now and then; what it raises ends the job.

        Raises:
            DragFlowError: as `run`; or no machine survived it.
        """
        ...


class Handle:
    """A submitted job."""

    def __init__(self, job: EditJob, observer: Observer = silent, seconds: float | None = None) -> None:
        self.id = secrets.token_urlsafe(18)
        """Cannot be guessed: whoever has it was given it."""
        self.job = job
        self._observer, self._seconds = observer, seconds
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._future: Future[EditResult] = Future()
        self._begun: float | None = None
        self._ended: float | None = None

    @property
    def state(self) -> State:
        """Where the job is."""
        if not self._future.done():
            return "queued" if self._begun is None else "running"
        error = self._future.exception()
        return "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed"

    @property
    def error(self) -> BaseException | None:
        """Why it failed or was cancelled; None while it runs, and of one that is done."""
        return self._future.exception() if self._future.done() else None

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran; None while it waits."""
        if self._begun is None:
            return None
        return (time.monotonic() if self._ended is None else self._ended) - self._begun

    @property
    def recorded(self) -> Sequence[Event]:
        """The events so far."""
        with self._changed:
            return tuple(self._events)

    def events(self) -> Iterator[Event]:
        """Every event from the first on, as they come, until the job ends; for any number of listeners."""
        index = 0
        while True:
            with self._changed:
                while len(self._events) == index and not self._future.done():
                    self._changed.wait()
                fresh = self._events[index:]
            if not fresh:
                return
            yield from fresh
            index += len(fresh)

    def cancel(self) -> None:
        """End the job: at once while it waits, else after the current model call; `result` then raises `Cancelled`."""
        self._stopped.set()
        if self._begun is None:
            self._end(Cancelled())

    def result(self, timeout: float | None = None) -> EditResult:
        """Wait for the result.

        Raises:
            DragFlowError: what the job raised.
            TimeoutError: it is not available after `timeout` seconds.
        """
        return self._future.result(timeout)

    def _observe(self, event: Event) -> None:
        if self._stopped.is_set():
            raise Cancelled
        if self._seconds is not None and self.seconds is not None and self.seconds > self._seconds:
            raise UserError(
                f"the edit was stopped after {self._seconds:g} seconds, the most that one may take here: make the "
                "picture or the number of steps smaller"
            )
        with self._changed:  # a stored preview would keep latents alive: only the observer gets it
            self._events.append(replace(event, preview=None) if isinstance(event, Stepped) else event)
            self._changed.notify_all()
        self._observer(event)

    def _begin(self) -> None:
        with self._changed:
            if self._stopped.is_set():
                raise Cancelled
            self._begun = self._begun or time.monotonic()

    def _work(self, pool: ModelPool, estimates: Estimates, elsewhere: Elsewhere | None) -> None:
        if self._future.done():  # cancelled while it waited
            return
        cold = elsewhere is None and pool.loaded(self.job.model) is None
        try:
            if elsewhere is None:
                self._begin()
                self._end(run(self.job, pool, self._observe))
            else:
                self._end(elsewhere.run(self.job, self._observe, self._begin))
        except BaseException as error:  # raised where the result is awaited
            if not isinstance(error, DragFlowError):
                _log.error("an edit failed", exc_info=error)
            _drop_tracebacks(error)
            self._end(error)
        else:
            self._measure(estimates, pool.load_seconds(self.job.model) if cold else None)

    def _measure(self, estimates: Estimates, load: float | None) -> None:
        try:
            estimates.add(measured(self.job, self.result(), self.recorded, self.seconds or 0, load))
        except Exception as error:  # the edit itself is done
            _log.error("what an edit took is not known", exc_info=error)

    def _end(self, outcome: EditResult | BaseException) -> None:
        with self._changed:
            if self._future.done():
                return
            self._ended = time.monotonic()
            self._observer = silent  # it may know this handle: a reference cycle
            if isinstance(outcome, BaseException):
                self._future.set_exception(outcome)
            else:
                self._future.set_result(outcome)
            self._changed.notify_all()


class Service:
    """Jobs over loaded models: of each device one after the other, on a thread of its own; or elsewhere."""

    def __init__(
        self,
        pool: ModelPool | None = None,
        limits: Limits | None = None,
        estimates: Estimates | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self.estimates = Estimates() if estimates is None else expect(Estimates, estimates)
        self._pool = ModelPool() if pool is None else expect(ModelPool, pool)
        self.limits = Limits() if limits is None else expect(Limits, limits)
        self._workers: dict[str | None, ThreadPoolExecutor] = {}
        self._handles: dict[str, Handle] = {}
        """By id, in the order in which they came."""
        self._closed = False
        self._changing = threading.Lock()

    def submit(self, job: EditJob, observer: Observer = silent) -> Handle:
        """Run a job; the observer is called in the thread that runs it.

        Raises:
            UserError: not a job, its picture is too large, or the service is closed.
            Busy: too many jobs wait.
        """
        observer = check(Callable, observer, "observer")
        return self._begin([Handle(expect(EditJob, job), observer, self.limits.seconds)])[0]

    def submit_variants(
        self, job: EditJob, seeds: Sequence[int], observer_of: Callable[[int], Observer] = lambda number: silent
    ) -> tuple[Handle, ...]:
        """Run a job once for each seed, all or none of them: each gives the bytes that it gives alone.

        Args:
            job: what to do.
            seeds: one for each variant.
            observer_of: gives the observer of a variant, counted from 0.

        Raises:
            UserError: as `submit`; no seed, or several where no noise is drawn.
            Busy: too many jobs wait.
        """
        if not seeds:
            raise UserError("no seed is given: give one for each variant")
        _check_variants(expect(EditJob, job), len(seeds))
        jobs = [with_seed(job, seed) for seed in seeds]
        return self._begin([Handle(one, observer_of(i), self.limits.seconds) for i, one in enumerate(jobs)])

    def _begin(self, handles: Sequence[Handle]) -> tuple[Handle, ...]:
        with self._changing:
            self._check([handle.job for handle in handles])
            for handle in handles:
                self._handles[handle.id] = handle
                worker = self._worker(handle.job.model.device)
                work = worker.submit(handle._work, self._pool, self.estimates, self._elsewhere)
                work.add_done_callback(
                    lambda done, handle=handle: handle._end(Cancelled()) if done.cancelled() else None
                )
        return tuple(handles)

    def estimate(self, job: EditJob, variants: int = 1) -> Estimate:
        """What a job will take once it begins, from what others took on this machine before.

        Raises:
            UserError: several variants where no noise is drawn.
        """
        _check_variants(expect(EditJob, job), variants)
        editor = self._pool.loaded(job.model)
        return self.estimates.of(
            job,
            variants,
            loaded=editor is not None,
            inverted=editor is not None and editor.inverted(job.source, job.task, job.config),
            shared=self._pool.keeps_inversions,
        )

    def load(self, model: ModelOptions) -> None:
        """Load a model, in turn with the jobs of its device.

        Raises:
            UserError: see `Editor.load`.
        """
        self._in_turn(model, self._pool.get)

    def unload(self, model: ModelOptions) -> None:
        """Drop a model, in turn with the jobs of its device; the next job loads it again."""
        self._in_turn(model, self._pool.drop)

    def is_loaded(self, model: ModelOptions) -> bool:
        """Whether a job would find the model loaded; never waits."""
        return self._pool.loaded(model) is not None

    def _in_turn(self, model: ModelOptions, act: Callable[[ModelOptions], object]) -> None:
        if self._elsewhere is not None:
            raise UserError("models are loaded elsewhere: where the edits run, when they need them")
        with self._changing:
            if self._closed:
                raise UserError("the service is closed and takes no more jobs: make a new one")
            done = self._worker(model.device).submit(act, model)
        done.result()

    def get(self, name: str) -> Handle | None:
        """The job with an id; None if there is none, or it is no longer kept."""
        with self._changing:
            self._drop_expired()
            return self._handles.get(name)

    def position(self, handle: Handle) -> int | None:
        """How many jobs of its device come before a job; 0 for the one that runs, None for one that has ended."""
        with self._changing:
            if handle.state not in ("queued", "running"):
                return None
            waiting = [one.id for one in self._unended(handle.job.model.device)]
        return waiting.index(handle.id) if handle.id in waiting else None

    @property
    def handles(self) -> tuple[Handle, ...]:
        """Every job that is kept, in the order in which they came."""
        with self._changing:
            self._drop_expired()
            return tuple(self._handles.values())

    def close(self) -> None:
        """Wait for the running jobs to end; waiting ones are cancelled."""
        with self._changing:
            self._closed = True
            workers = tuple(self._workers.values())
        for worker in workers:
            worker.shutdown(cancel_futures=True)

    def _check(self, jobs: Sequence[EditJob]) -> None:
        self._drop_expired()
        if self._closed:
            raise UserError("the service is closed and takes no more jobs: make a new one")
        h, w = jobs[0].source.size
        if self.limits.pixels is not None and h * w > self.limits.pixels:
            raise UserError(
                f"the picture has {w} x {h} pixels, over the limit of {self.limits.pixels} here: scale it down"
            )
        waiting, most = len(self._unended(jobs[0].model.device)), self.limits.queue
        if most is not None and waiting + len(jobs) > most:
            raise Busy(f"{waiting} edits wait already, and {most} may: try again when some have ended")

    def _unended(self, device: str | None) -> list[Handle]:
        return [
            one
            for one in self._handles.values()
            if one.job.model.device == device and one.state in ("queued", "running")
        ]

    def _worker(self, device: str | None) -> ThreadPoolExecutor:
        if device not in self._workers:
            width = 1 if self._elsewhere is None else self._elsewhere.width
            self._workers[device] = ThreadPoolExecutor(width, f"dragflow-{device or 'default'}")
        return self._workers[device]

    def _drop_expired(self) -> None:
        oldest = time.monotonic() - self.limits.keep_seconds
        for name, handle in list(self._handles.items()):
            if handle._ended is not None and handle._ended < oldest:
                del self._handles[name]


def _check_variants(job: EditJob, count: int) -> None:
    why = why_alike(job.config) if count > 1 else None
    if why is not None:
        raise UserError(f"{count} variants are asked for, but {why}")


def _drop_tracebacks(error: BaseException) -> None:
    """Of an error and of all that led to it: their frames would keep the latents of the edit as long as the error."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None and id(other) not in seen]


def with_seed(job: EditJob, seed: int) -> EditJob:
    """The same job with another seed."""
    other = replace(job, config=replace(job.config, seed=check(Seed, seed, "`seed`")))
    vars(other)["task"] = job.task  # which does not depend on it
    return other
