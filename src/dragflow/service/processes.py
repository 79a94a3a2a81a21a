"""Workers that are processes of this machine, each with a device of its own; on the CPU each has one thread."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from dragflow.core.errors import DragFlowError
from dragflow.files.atomic import discard_parts
from dragflow.service.crew import Crew, Died, Done, MachineFault, Ready, Work

_PATIENCE = 30.0
"""Seconds that an idle process has to end before it is killed."""
_GRACE = 5.0
"""Seconds that one in the middle of a job has."""


class Processes(Crew):
    """One process for each device; models that jobs cache stay loaded until `close`."""

    def __init__(
        self, devices: Sequence[str | None], setup: Callable[[], None] | None = None, seconds: float | None = None
    ) -> None:
        """Start with `setup` in each process, and give each job so many seconds."""
        super().__init__(len(devices), seconds)
        self._devices, self._setup = tuple(devices), setup
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, BaseProcess] = {}
        self._connections: dict[int, Connection] = {}

    def start(self, worker: int) -> None:
        """Start a process."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._devices[worker], self._setup), daemon=True)
        process.start()
        there.close()  # so that its end is noticed here
        self._processes[worker], self._connections[worker] = process, here

    def send(self, worker: int, work: Work[Any, Any], job: Any) -> None:
        """Give a job to a process; that it died meanwhile, `wait` says."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connections[worker].send((work, job))

    def wait(self, seconds: float | None) -> Ready | Done | Died | None:
        """The next thing that happens to a process."""
        first = next(iter(wait(list(self._connections.values()), seconds)), None)
        if first is None:
            return None
        worker = next(i for i, connection in self._connections.items() if connection is first)
        try:
            message = self._connections[worker].recv()
        except (EOFError, OSError):  # also in the middle of a message
            return Died(worker, self._death(worker))
        if message is None:
            return Ready(worker)
        if isinstance(message, str):
            return Died(worker, f"{self._death(worker)} ({message})")
        result, error = message
        return Done(worker, lambda: _raised(error) if error is not None else result)

    def stop(self, worker: int, *, idle: bool) -> None:
        """End a process: an idle one by itself, another at once."""
        if (process := self._processes.pop(worker, None)) is None:
            return
        self._connections.pop(worker).close()
        if not idle:
            process.terminate()
        _ended(process, _PATIENCE if idle else _GRACE)

    def _death(self, worker: int) -> str:
        self._connections.pop(worker).close()
        process = self._processes.pop(worker)
        _ended(process, _PATIENCE)
        code = process.exitcode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"a process {how}"


def _ended(process: BaseProcess, patience: float) -> None:
    """Wait for the end of a process, and kill it after so many seconds."""
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join(_PATIENCE)


def _raised(error: BaseException) -> Any:
    raise error


def _serve(connection: Connection, device: str | None, setup: Callable[[], None] | None) -> None:
    """Do jobs until the other end is gone."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the first one decides
    if setup is not None:
        setup()
    if device is None:
        import torch

        torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        connection.send(None)
        while True:
            work, job = connection.recv()
            try:
                answer = outcome(work, job, device)
            except MachineFault as fault:
                connection.send(str(fault))
                return
            connection.send(answer)


def outcome(work: Work[Any, Any], job: Any, device: str | None) -> tuple[Any, Exception | None]:
    """The result of a job, or what it raised, as it can be sent to another process.

    Raises:
        MachineFault: the process can do no more work, and had better end.
    """
    try:
        return work(job, device), None
    except MachineFault:
        raise
    except Exception as error:
        return None, sendable(error)


def sendable(error: Exception) -> Exception:
    """An error as it can be sent to another process."""
    error.add_note("".join(traceback.format_exception(error)))
    error.__traceback__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its class takes other arguments than it keeps
        return DragFlowError(f"{type(error).__name__}: {error}")
    return error


def _end(*_: object) -> None:
    """Leave no half-written file when the process is terminated, which nothing else may keep from ending."""
    discard_parts()
    os._exit(128 + signal.SIGTERM)
