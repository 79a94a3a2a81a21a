"""Executors, which run the work of a benchmark in this process, or in several with an accelerator each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import Queue
from typing import Annotated, Protocol, TypeVar

from annotated_types import Le

from dragflow.core.checked import check
from dragflow.core.errors import DragFlowError, UserError
from dragflow.core.fields import AtLeastOne, Name
from dragflow.files.atomic import discard_parts

J = TypeVar("J")
R = TypeVar("R")

MOST_PROCESSES = 256

Work = Callable[[J, str | None], R]
"""Does one job on a device (as torch names it; None = the default) and gives its result; a function of a module."""


class Executor(Protocol):
    """Runs jobs and yields their results."""

    def run(self, work: Work[J, R], jobs: Iterable[J]) -> Iterator[R]:
        """Results in the order in which they are finished."""
        ...


class InProcess:
    """One job after the other in this process."""

    def __init__(self, device: str | None = None) -> None:
        self._device = device

    def run(self, work: Work[J, R], jobs: Iterable[J]) -> Iterator[R]:
        """Results in the order of the jobs."""
        for job in jobs:
            yield work(job, self._device)


class Processes:
    """Several processes, each with its own device; on the CPU each has one thread."""

    def __init__(self, devices: Sequence[str | None], setup: Callable[[], None] | None = None) -> None:
        """One process for each entry, each starts with `setup`; models that jobs cache stay loaded until `close`."""
        context = multiprocessing.get_context("spawn")
        free = context.Queue()
        for device in devices:
            free.put(device)
        self._pool = ProcessPoolExecutor(len(devices), context, initializer=_begin, initargs=(free, setup))

    def run(self, work: Work[J, R], jobs: Iterable[J]) -> Iterator[R]:
        """Results in the order in which they are finished.

        Raises:
            DragFlowError: a process died.
        """
        futures = [self._pool.submit(_on_own_device, work, job) for job in jobs]
        try:
            for done in as_completed(futures):
                yield done.result()
        except BrokenProcessPool as error:
            raise DragFlowError(
                "a process of the benchmark died, perhaps for lack of memory: finished samples are kept; run the "
                "same command again with fewer processes to resume"
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def executor(
    devices: Sequence[str] = (), processes: int = 1, setup: Callable[[], None] | None = None
) -> Iterator[Executor]:
    """One process on each device, or several on the CPU, or this one; new processes start with `setup`.

    Raises:
        UserError: several devices and several processes, or what is neither.
    """
    devices = check(tuple[Name, ...], devices, "`devices`")
    processes = check(Annotated[AtLeastOne, Le(MOST_PROCESSES)], processes, "`processes`")
    if len(devices) > 1 and processes > 1:
        raise UserError(
            f"{len(devices)} devices and {processes} processes: a device has one process, name one or the other"
        )
    if max(len(devices), processes) == 1:
        yield InProcess(devices[0] if devices else None)
        return
    pool = Processes(devices if len(devices) > 1 else [devices[0] if devices else None] * processes, setup)
    try:
        yield pool
    finally:
        pool.close()


_device: str | None = None


def _begin(free: Queue[str | None], setup: Callable[[], None] | None) -> None:
    global _device
    signal.signal(signal.SIGTERM, _end)
    _device = free.get()
    if setup is not None:
        setup()
    if _device is None:
        import torch

        torch.set_num_threads(1)


def _end(*_: object) -> None:
    """Leave no half-written file when the process is terminated, which nothing else may keep from ending."""
    discard_parts()
    os._exit(128 + signal.SIGTERM)


def _on_own_device(work: Work[J, R], job: J) -> R:
    return work(job, _device)
