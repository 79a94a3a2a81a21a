"""Executors: every job is done once, each process has its own device, and a death costs one job at most."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dragflow.core.errors import DragFlowError, UserError
from dragflow.service.crew import MachineFault, raise_machine_fault
from dragflow.service.executors import InProcess, Processes, executor


def square(job: int, device: str | None) -> tuple[int, str | None, int]:
    return job * job, device, os.getpid()


def break_at_two(job: int, device: str | None) -> int:
    if job == 2:
        raise ValueError("two")
    return job


def die(job: int, device: str | None) -> int:
    os._exit(9)


def die_of_two(job: int, device: str | None) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def die_once(job: Path, device: str | None) -> str:
    if not job.exists():
        job.touch()
        os._exit(9)
    return job.name


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def raise_odd(job: int, device: str | None) -> int:
    raise TwoArguments("odd", "one")


def fail_once(job: Path, device: str | None) -> str:
    if not job.exists():
        job.touch()
        raise_machine_fault(torch.AcceleratorError("an illegal memory access was encountered"))
    return f"{job.name} {os.getpid()}"


def who(job: int, device: str | None) -> tuple[int, int]:
    time.sleep(0.05)
    return job, os.getpid()


def lost(job: object, why: str) -> str:
    return f"{job}: {why}"


def sleep(job: int, device: str | None) -> int:
    time.sleep(600)
    return job


def sleep_at_two(job: int, device: str | None) -> int:
    assert os.environ["DRAGFLOW_TEST_PREPARED"] == device
    time.sleep(600 if job == 2 else 0)
    return job


def prepare(device: str | None) -> None:
    time.sleep(4)
    os.environ["DRAGFLOW_TEST_PREPARED"] = str(device)


def refuse(device: str | None) -> None:
    raise UserError("no such model")


def broken_setup() -> None:
    os._exit(3)


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
    with executor(["cpu"], 2) as pool, pytest.raises(DragFlowError, match="to resume"):
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


@pytest.mark.slow
def test_a_job_that_kills_its_process_is_given_up_and_costs_no_other() -> None:
    with executor(["cpu"], 2) as pool:
        found = list(pool.run(die_of_two, range(8), lost=lost))
        assert sorted(value for value in found if isinstance(value, int)) == [0, 1, 3, 4, 5, 6, 7]
        (text,) = [value for value in found if isinstance(value, str)]
        assert text.startswith("2: a process was ended by signal 9, 3 times")
        assert sorted(pool.run(die_of_two, [5, 6])) == [5, 6]


@pytest.mark.slow
def test_a_process_that_dies_by_chance_costs_nothing(tmp_path: Path) -> None:
    with executor(["cpu"], 2) as pool:
        assert sorted(pool.run(die_once, [tmp_path / "a", tmp_path / "b"])) == ["a", "b"]


@pytest.mark.slow
def test_a_process_whose_accelerator_failed_is_replaced(tmp_path: Path) -> None:
    with executor(["cpu"], 2) as pool:
        (found,) = pool.run(fail_once, [tmp_path / "a"])
        assert found.startswith("a ")
        assert len(list(pool.run(who, range(8)))) == 8


@pytest.mark.slow
def test_a_job_that_hangs_is_given_up_and_the_preparation_may_take_longer() -> None:
    with executor(["cpu"], 1, seconds=3) as pool:
        found = list(pool.run(sleep_at_two, range(4), lost=lost, prepare=prepare))
        assert found == [
            0,
            1,
            "2: it was not done within 3 seconds and was stopped: allow more by `item_timeout`",
            3,
        ]
        with pytest.raises(UserError, match="no such model"):
            list(pool.run(sleep_at_two, [0], prepare=refuse))


def test_this_process_cannot_end_itself() -> None:
    with pytest.raises(UserError, match="`item_timeout` ends the process"), executor(seconds=1):
        pass
    with executor(processes=1, seconds=1) as pool:
        assert isinstance(pool, Processes)


def test_an_accelerator_that_failed_ends_a_run_here(tmp_path: Path) -> None:
    with executor() as here, pytest.raises(MachineFault, match="the accelerator failed"):
        list(here.run(fail_once, [tmp_path / "a"]))


@pytest.mark.slow
def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    with executor(["cpu"], 2) as pool, pytest.raises(DragFlowError, match="TwoArguments: odd one"):
        list(pool.run(raise_odd, [1]))


@pytest.mark.slow
def test_jobs_of_one_group_come_to_one_process_and_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for job in range(40):
            taken.append(job)
            yield job

    with executor(["cpu"], 2) as pool:
        list(pool.run(who, range(2)))  # both are there
        results = pool.run(who, jobs(), group=lambda job: job // 4)
        found = [next(results)]
        assert len(taken) < 20
        found += list(results)
    assert sorted(job for job, _ in found) == list(range(40))
    owners = [{owner for job, owner in found if job // 4 == group} for group in range(8)]
    assert sum(len(owner) == 1 for owner in owners) >= 6  # at the end one may help the other


@pytest.mark.slow
def test_a_run_that_is_left_early_spoils_no_other() -> None:
    with executor(["cpu"], 2) as pool:
        assert next(iter(pool.run(who, range(20)))) is not None
        assert {job for job, _ in pool.run(who, range(100, 106))} == set(range(100, 106))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_jobs() -> None:
    def interrupted() -> None:
        with executor(["cpu"], 2) as pool:
            assert len(list(pool.run(who, [1, 2]))) == 2
            threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            list(pool.run(sleep, [1, 2]))

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_processes_that_cannot_begin_end_the_run() -> None:
    with executor(["cpu"], 2, setup=broken_setup) as pool, pytest.raises(DragFlowError, match="before it could begin"):
        list(pool.run(square, range(4)))
