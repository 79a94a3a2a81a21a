"""What a job needed is freed at its end, and a long row of jobs does not make the process grow."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Event
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.service.jobs import EditJob, plan
from dragflow.service.limits import Limits
from dragflow.service.pool import ModelPool
from dragflow.service.run import Handle, Service

JOBS = 100


def job(number: int) -> EditJob:
    """A picture of its own, so that nothing is shared with the jobs before."""
    source = from_pixels(np.random.default_rng(number).integers(0, 256, (128, 160, 3), dtype=np.uint8))
    asked = Instruction(Operation(Box(20, 20, 60, 60), Translate((100, 80))), "a cat")
    config = override(load_preset("default"), ["inversion.steps=4", "inversion.skip=1", "optimise.refining=1"])
    return plan(source, asked, config, ModelOptions("dummy", device="cpu"))


@pytest.mark.slow
def test_a_hundred_jobs_take_the_memory_of_ten() -> None:
    service = Service(ModelPool(), Limits(keep_seconds=0.1))
    resident: dict[int, int] = {}
    for number in range(1, JOBS + 1):
        service.submit(job(number)).result()
        if number in (10, JOBS):
            gc.collect()
            resident[number] = psutil.Process().memory_info().rss
    service.close()
    assert resident[JOBS] <= 1.05 * resident[10], resident


class Latent:
    """Stands for what is large."""


class Listener:
    """Knows the handle, which knows its observer."""

    handle: Handle

    def observe(self, event: Event) -> None: ...


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing names is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def freed(known: weakref.ref[Any]) -> bool:
    """Soon: the thread of the job leaves its last functions a little after the result is there."""
    end = time.monotonic() + 5
    while known() is not None and time.monotonic() < end:
        time.sleep(0.01)
    return known() is None


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("error", [Cancelled, UserError, RuntimeError])
def test_an_error_that_is_kept_keeps_nothing_of_the_edit(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    latents: list[weakref.ref[Latent]] = []

    def model_call() -> None:
        latent = Latent()
        latents.append(weakref.ref(latent))
        raise ValueError("of the model")

    def broken(*_: Any) -> None:
        around = Latent()
        latents.append(weakref.ref(around))
        try:
            model_call()
        except ValueError as cause:
            raise error("it ends") from cause

    monkeypatch.setattr(sys.modules["dragflow.service.run"], "run", broken)
    log = sys.modules["dragflow.service.run"]._log
    monkeypatch.setattr(log, "error", lambda *_, **__: None)  # the test framework keeps what is logged
    service = Service()
    handle = service.submit(job(0))
    list(handle.events())
    assert all(freed(latent) for latent in latents)
    assert len(latents) == 2
    assert isinstance(handle.error, error)
    assert isinstance(handle.error.__cause__, ValueError)
    service.close()


@pytest.mark.usefixtures("no_collector")
def test_a_handle_is_freed_with_what_its_observer_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*_: Any) -> None:
        raise Cancelled

    monkeypatch.setattr(sys.modules["dragflow.service.run"], "run", cancelled)
    service = Service(limits=Limits(keep_seconds=0.1))
    listener = Listener()
    handle = listener.handle = service.submit(job(0), listener.observe)
    list(handle.events())
    known = weakref.ref(handle)
    del handle, listener
    time.sleep(0.2)
    assert not service.handles
    assert freed(known)
    service.close()
