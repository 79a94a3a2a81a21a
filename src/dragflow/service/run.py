"""Running jobs: `submit` gives a handle with events, cancelling and the result; `run` does the work itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from dragflow.core.checked import check, expect
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Event, Observer, Stepped, silent
from dragflow.service.jobs import EditJob
from dragflow.service.pool import ModelPool

if TYPE_CHECKING:
    from dragflow.editor.result import EditResult
    from dragflow.editor.session import Session


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


class Handle:
    """A submitted job."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._future: Future[EditResult] = Future()

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
        """Stop the job after the current model call; `result` then raises `Cancelled`."""
        self._stopped.set()

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
        with self._changed:  # a stored preview would keep latents alive: only the observer gets it
            self._events.append(replace(event, preview=None) if isinstance(event, Stepped) else event)
            self._changed.notify_all()
        self._observer(event)

    def _work(self, job: EditJob, pool: ModelPool) -> None:
        try:
            if self._stopped.is_set():
                raise Cancelled
            self._end(run(job, pool, self._observe))
        except BaseException as error:  # raised where the result is awaited
            self._end(error)

    def _end(self, outcome: EditResult | BaseException) -> None:
        with self._changed:
            if isinstance(outcome, BaseException):
                self._future.set_exception(outcome)
            else:
                self._future.set_result(outcome)
            self._changed.notify_all()


class Service:
    """Jobs over loaded models, one after the other on a separate thread."""

    def __init__(self, pool: ModelPool | None = None) -> None:
        self._pool = ModelPool() if pool is None else expect(ModelPool, pool)
        self._worker = ThreadPoolExecutor(1, "dragflow")

    def submit(self, job: EditJob, observer: Observer = silent) -> Handle:
        """Run a job; the observer is called in the thread that runs it.

        Raises:
            UserError: not a job, or the service is closed.
        """
        expect(EditJob, job)
        handle = Handle(check(Callable, observer, "observer"))
        try:
            work = self._worker.submit(handle._work, job, self._pool)
        except RuntimeError as error:
            raise UserError("the service is closed and takes no more jobs: make a new one") from error
        work.add_done_callback(lambda done: handle._end(Cancelled()) if done.cancelled() else None)
        return handle

    def close(self) -> None:
        """Wait for the running job to end; waiting jobs are cancelled."""
        self._worker.shutdown(cancel_futures=True)
