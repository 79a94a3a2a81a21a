"""Workers that each do one job at a time: which gets which, and what becomes of a job whose worker dies."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dragflow.core.errors import DragFlowError

J = TypeVar("J")
R = TypeVar("R")

TRIES = 3
"""How often a job is begun, and a worker started, before it is given up."""
_AHEAD = 4
"""Jobs for each worker that are taken before they are needed, so that one that suits it is among them."""

Work = Callable[[J, str | None], R]
"""Does one job on a device (as torch names it; None = the default) and gives its result; a function of a module."""
Prepare = Callable[[str | None], object]
"""Makes a worker ready for its first job, given its device; it may take as long as it takes."""
Lost = Callable[[J, str], R]
"""The result of a job that no worker survived, given why."""

_log = logging.getLogger(__name__)


class MachineFault(DragFlowError):
    """A worker that can do no more work, although it lives; its job may be done by another."""


def raise_machine_fault(error: Exception) -> None:
    """Tell a fault of the machine from an error of a job: after one of its accelerator a process can use that no more.

    Raises:
        MachineFault: it is one.
    """
    if any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__):  # torch's, which need not be loaded
        raise MachineFault(f"the accelerator failed ({error}); run the same command again to resume") from error


@dataclass(frozen=True)
class Ready:
    """A worker has started and waits for its first job."""

    worker: int


@dataclass(frozen=True)
class Done:
    """A worker has ended its job, and waits for the next."""

    worker: int
    outcome: Callable[[], Any]
    """Gives the result, or raises what the work raised."""


@dataclass(frozen=True)
class Died:
    """A worker is gone, and with it what it was doing."""

    worker: int
    why: str
    final: bool = False
    """Whether its job must not be tried again."""


@dataclass
class _Attempt(Generic[J]):
    job: J
    group: Hashable
    tries: int = 0
    begun: float = 0.0
    """When it was sent, on the clock of `time.monotonic`."""


class Crew(ABC):
    """A fixed number of workers, which are kept between runs until `close`, each replaced when it dies."""

    def __init__(self, size: int, seconds: float | None = None) -> None:
        """Give each job so many seconds, for which its preparation does not count."""
        self._idle = set[int]()
        self._unstarted = dict[int, int]()
        """How often each worker that had no job yet was started."""
        self._prepared = dict[int, Prepare]()
        """What each worker was prepared by."""
        self._size, self._seconds = size, seconds
        self._given_up = set[int]()

    def run(
        self,
        work: Work[J, R],
        jobs: Iterable[J],
        *,
        group: Callable[[J], Hashable] | None = None,
        lost: Lost[J, R] | None = None,
        prepare: Prepare | None = None,
    ) -> Iterator[R]:
        """See `Executor.run`. Only the death of a worker makes a job be tried again, never an error that it raised.

        Raises:
            DragFlowError: no worker can be started; or a job is lost and `lost` is not given.
        """
        waiting = _Waiting(iter(jobs), group, _AHEAD * self._size)
        busy: dict[int, _Attempt[J]] = {}
        preparing = set[int]()
        self._start_missing()
        while True:
            self._assign(work, waiting, busy, preparing, prepare)
            if not busy and not waiting:
                return
            event = self.wait(self._patience(busy))
            if event is None:
                event = self._overdue(busy)
            attempt = busy.pop(event.worker, None)  # none of a run that was left before its end
            if event.worker in preparing and not isinstance(event, Ready):
                preparing.discard(event.worker)
                if isinstance(event, Done):
                    event.outcome()
            self._note(event)
            if isinstance(event, Done) and attempt is not None:
                yield event.outcome()
            elif isinstance(event, Died) and attempt is not None:
                attempt.tries += 1
                if not event.final and attempt.tries < TRIES:
                    waiting.put_back(attempt)
                    continue
                why = event.why if event.final else f"{event.why}, {TRIES} times, perhaps for lack of memory"
                if lost is None:
                    raise DragFlowError(
                        f"{why}: what is finished is kept; run the same command again with fewer processes to resume"
                    )
                yield lost(attempt.job, why)

    def close(self) -> None:
        """End the workers, in the middle of a job if need be."""
        for worker in range(self._size):
            self.stop(worker, idle=worker in self._idle)

    @abstractmethod
    def start(self, worker: int) -> None:
        """Start a worker, or one in the place of one that died; `wait` says when it is ready."""

    @abstractmethod
    def send(self, worker: int, work: Work[Any, Any], job: Any) -> None:
        """Give a job to a worker that waits for one."""

    @abstractmethod
    def wait(self, seconds: float | None) -> Ready | Done | Died | None:
        """The next thing that happens to a worker; None if nothing does within so many seconds."""

    @abstractmethod
    def stop(self, worker: int, *, idle: bool) -> None:
        """End a worker."""

    def _start_missing(self) -> None:
        if not self._idle and not self._unstarted and not self._given_up:
            for worker in range(self._size):
                self._unstarted[worker] = 1
                self.start(worker)

    def _assign(
        self,
        work: Work[J, Any],
        waiting: _Waiting[J],
        busy: dict[int, _Attempt[J]],
        preparing: set[int],
        prepare: Prepare | None,
    ) -> None:
        """Give what is next to those that are idle: before its first job each is prepared."""
        for worker in sorted(self._idle):
            if not waiting:
                return
            self._idle.discard(worker)
            if prepare is not None and self._prepared.get(worker) is not prepare:
                self._prepared[worker] = prepare
                preparing.add(worker)
                self.send(worker, _prepare, prepare)
                continue
            self._unstarted.pop(worker, None)
            busy[worker] = waiting.take(worker)
            busy[worker].begun = time.monotonic()
            self.send(worker, work, busy[worker].job)

    def _patience(self, busy: dict[int, _Attempt[J]]) -> float | None:
        """Seconds until the first job is overdue; None if none ever is."""
        if self._seconds is None or not busy:
            return None
        first = min(attempt.begun for attempt in busy.values())
        return max(0.0, first + self._seconds - time.monotonic())

    def _overdue(self, busy: dict[int, _Attempt[J]]) -> Died:
        """End the worker whose job has run longest."""
        worker = min(busy, key=lambda one: busy[one].begun)
        self.stop(worker, idle=False)
        why = f"it was not done within {self._seconds:g} seconds and was stopped: allow more by `item_timeout`"
        return Died(worker, why, final=True)

    def _note(self, event: Ready | Done | Died) -> None:
        """Which workers are idle; a new one for one that died, unless it never comes up."""
        worker = event.worker
        if not isinstance(event, Died):
            self._idle.add(worker)
            return
        self._idle.discard(worker)
        self._prepared.pop(worker, None)
        starts = self._unstarted[worker] = self._unstarted.get(worker, 0) + 1
        if starts <= TRIES:
            if not event.final:
                _log.warning("%s: it is started again", event.why)
            self.start(worker)
            return
        self._unstarted.pop(worker)
        self._given_up.add(worker)
        if len(self._given_up) == self._size:
            raise DragFlowError(
                f"{event.why}, {TRIES} times, before it could begin, perhaps for lack of memory: nothing can be done "
                "here"
            )


def _prepare(prepare: Prepare, device: str | None) -> object:
    return prepare(device)


class _Waiting(Generic[J]):
    """Jobs that are next: a worker goes on with what it has begun, and else begins what no other has."""

    def __init__(self, jobs: Iterator[J], group: Callable[[J], Hashable] | None, ahead: int) -> None:
        self._jobs, self._group, self._ahead = jobs, group, ahead
        self._next = deque[_Attempt[J]]()
        self._begun = dict[int, Hashable]()
        self._count = 0

    def __bool__(self) -> bool:
        self._fill()
        return bool(self._next)

    def take(self, worker: int) -> _Attempt[J]:
        """The job for a worker, of those that there are."""
        self._fill()
        own, all_begun = self._begun.get(worker), set(self._begun.values())
        fitting = [attempt for attempt in self._next if attempt.group == own]
        fresh = [attempt for attempt in self._next if attempt.group not in all_begun]
        chosen = (fitting or fresh or self._next)[0]
        self._next.remove(chosen)
        self._begun[worker] = chosen.group
        return chosen

    def put_back(self, attempt: _Attempt[J]) -> None:
        """To be tried again, next."""
        self._next.appendleft(attempt)

    def _fill(self) -> None:
        while len(self._next) < self._ahead:
            job = next(self._jobs, _END)
            if job is _END:
                return
            self._count += 1
            # Without groups every job is one of its own.
            self._next.append(_Attempt(job, self._count if self._group is None else self._group(job)))  # pyright: ignore[reportArgumentType]


_END = object()
