"""Executors: every job is done once, each process has its own device, and a death is told."""

from __future__ import annotations

import os

import pytest

from dragflow.core.errors import DragFlowError, UserError
from dragflow.service.executors import InProcess, Processes, executor


def square(job: int, device: str | None) -> tuple[int, str | None, int]:
    return job * job, device, os.getpid()


def break_at_two(job: int, device: str | None) -> int:
    if job == 2:
        raise ValueError("two")
    return job


def die(job: int, device: str | None) -> int:
    os._exit(9)


def test_in_this_process_jobs_are_done_in_order_and_only_when_asked() -> None:
    results = InProcess("cpu").run(square, iter(range(3)))
    assert next(results) == (0, "cpu", os.getpid())
    assert [value for value, _, _ in results] == [1, 4]


@pytest.mark.slow
def test_every_process_has_a_device_of_its_own() -> None:
    with executor(["cpu:0", "cpu:1"]) as pool:
        found = list(pool.run(square, range(40)))
    assert sorted(value for value, _, _ in found) == sorted(i * i for i in range(40))
    owners = {(device, process) for _, device, process in found}
    assert {device for device, _ in owners} <= {"cpu:0", "cpu:1"}
    assert len(owners) == len({process for _, process in owners})
    assert os.getpid() not in {process for _, process in owners}


@pytest.mark.slow
def test_an_error_of_a_job_reaches_the_caller() -> None:
    with executor(processes=2) as pool, pytest.raises(ValueError, match="two"):
        list(pool.run(break_at_two, range(4)))


@pytest.mark.slow
def test_a_process_that_dies_is_told() -> None:
    with executor(processes=2) as pool, pytest.raises(DragFlowError, match="to resume"):
        list(pool.run(die, range(2)))


def test_one_of_everything_needs_no_process() -> None:
    with executor(["cpu"]) as one, executor() as other:
        assert isinstance(one, InProcess)
        assert isinstance(other, InProcess)


def test_processes_share_the_one_device_that_is_named() -> None:
    with executor(["cpu"], 2) as pool:
        assert isinstance(pool, Processes)


def test_several_devices_and_several_processes_contradict() -> None:
    with pytest.raises(UserError, match="2 devices and 3 processes"), executor(["a", "b"], 3):
        pass
