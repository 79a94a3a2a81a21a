"""Executors, which run work in this process, in several with an accelerator each, or on the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Annotated, Protocol, TypeVar

from annotated_types import Interval, Le

from dragflow.core.checked import check
from dragflow.core.errors import UserError, unused
from dragflow.core.fields import AtLeastOne, Name
from dragflow.service.crew import Lost, Prepare, Work
from dragflow.service.processes import Processes
from dragflow.service.ray_actors import RayActors

J = TypeVar("J")
R = TypeVar("R")

MOST_PROCESSES = 256
ItemSeconds = Annotated[float, Interval(ge=0.1, le=604_800)]


class Executor(Protocol):
    """Runs jobs and yields their results."""

    def run(
        self,
        work: Work[J, R],
        jobs: Iterable[J],
        *,
        group: Callable[[J], Hashable] | None = None,
        lost: Lost[J, R] | None = None,
        prepare: Prepare | None = None,
    ) -> Iterator[R]:
        """Results in the order in which they are finished; jobs are taken as they are needed.

        Args:
            work: does one job; a function of a module.
            jobs: what is to be done.
            group: what a job shares with others, as their picture: jobs that share it come to the same process.
            lost: gives the result of a job that its process or its machine did not survive, however often it was
                tried, or that took too long; without it that ends the run.
            prepare: is called before the first job of each process, which then counts as begun; what it raises ends
                the run.
        """
        ...


class InProcess:
    """One job after the other in this process."""

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._prepared: Prepare | None = None

    def run(
        self,
        work: Work[J, R],
        jobs: Iterable[J],
        *,
        group: Callable[[J], Hashable] | None = None,
        lost: Lost[J, R] | None = None,
        prepare: Prepare | None = None,
    ) -> Iterator[R]:
        """Results in the order of the jobs."""
        for job in jobs:
            if prepare is not None and self._prepared is not prepare:
                prepare(self._device)
                self._prepared = prepare
            yield work(job, self._device)


@contextmanager
def executor(
    devices: Sequence[str] = (),
    processes: int | None = None,
    setup: Callable[[], None] | None = None,
    ray: str | None = None,
    seconds: float | None = None,
) -> Iterator[Executor]:
    """One process on each device, or several on the CPU, or actors of a Ray cluster, or this process.

    Args:
        devices: as torch names them.
        processes: how many; None for one, or of a cluster for all that it has room for.
        setup: what new processes start with.
        ray: address of a cluster; see `RayActors`.
        seconds: how long a job may take before its process is ended; None for as long as it takes.

    Raises:
        UserError: several devices and several processes, what is neither, a time that this process would have to
            end itself after, or a cluster that cannot be reached.
        CapabilityError: Ray is not installed.
    """
    devices = check(tuple[Name, ...], devices, "`devices`")
    if processes is not None:
        check(Annotated[AtLeastOne, Le(MOST_PROCESSES)], processes, "`processes`")
    if seconds is not None:
        check(ItemSeconds, seconds, "`item_timeout`")
        if not devices and processes is None and ray is None:
            raise UserError(
                "`item_timeout` ends the process of an item, and here it is the one that runs: name `processes`, "
                "`devices` or `ray`"
            )
    if ray is not None:
        if devices:
            raise unused(["devices"], "Ray says which devices its nodes have")
        with closing(RayActors(check(Name, ray, "`ray`"), processes, setup, seconds)) as actors:
            yield actors
        return
    processes = processes or 1
    if len(devices) > 1 and processes > 1:
        raise UserError(
            f"{len(devices)} devices and {processes} processes: a device has one process, name one or the other"
        )
    if max(len(devices), processes) == 1 and seconds is None:
        yield InProcess(devices[0] if devices else None)
        return
    places = devices if len(devices) > 1 else [devices[0] if devices else None] * processes
    with closing(Processes(places, setup, seconds)) as pool:
        yield pool
