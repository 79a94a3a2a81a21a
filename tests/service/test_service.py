"""Submitted jobs: events, cancelling, results and errors; the pool of models."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragflow.core.config import EditConfig
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Event, Finished, Started, Stepped
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.service.events import from_data, to_data
from dragflow.service.jobs import EditJob, plan
from dragflow.service.pool import ModelPool
from dragflow.service.run import Service, run

SHORT = ["inversion.steps=4", "inversion.skip=1", "optimise.refining=1"]


@pytest.fixture(scope="module")
def pool() -> ModelPool:
    return ModelPool(size=2)


@pytest.fixture
def job(dummy_folder: Path) -> EditJob:
    source = from_pixels(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8))
    asked = Instruction(Operation(Box(10, 10, 30, 30), Translate((50, 40))), "a cat")
    return plan(source, asked, config(), ModelOptions(str(dummy_folder), device="cpu"))


def config() -> EditConfig:
    return override(load_preset("default"), SHORT)


@pytest.fixture
def service(pool: ModelPool) -> Service:
    return Service(pool)


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_submitted_job_gives_what_the_editor_gives(job: EditJob, service: Service, pool: ModelPool) -> None:
    editor = pool.get(job.model)
    plain = editor.open(job.source, "a cat", config=job.config).edit(job.instruction, job.config)
    assert np.array_equal(service.submit(job).result().pixels, plain.pixels)
    assert np.array_equal(run(job, pool).pixels, plain.pixels)


def test_every_listener_gets_every_event(job: EditJob, service: Service) -> None:
    seen: list[Event] = []
    handle = service.submit(job, seen.append)
    listened: list[list[Event]] = [[], []]
    threads = [threading.Thread(target=lambda got=got: got.extend(handle.events())) for got in listened]
    for thread in threads:
        thread.start()
    handle.result()
    for thread in threads:
        thread.join(10)
    bare = [replace(event, preview=None) if isinstance(event, Stepped) else event for event in seen]
    assert listened == [bare, bare]
    assert list(handle.events()) == bare  # also for who comes late
    assert [event.phase for event in bare if isinstance(event, Finished)][-1] == "decode"


def test_a_running_job_stops_after_the_call_that_is_running(job: EditJob, service: Service) -> None:
    begun, go = threading.Event(), threading.Event()

    def observe(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == "invert":
            begun.set()
            go.wait(10)

    handle = service.submit(job, observe)
    assert begun.wait(30)
    handle.cancel()
    go.set()
    with pytest.raises(Cancelled):
        handle.result(30)
    assert sum(isinstance(event, Stepped) and event.phase == "invert" for event in handle.events()) == 1
    assert service.submit(job).result().pixels.shape == job.source.pixels.shape


def test_a_job_that_waits_is_cancelled_before_it_begins(job: EditJob, service: Service) -> None:
    first, second = service.submit(job), service.submit(job)
    second.cancel()
    first.result()
    with pytest.raises(Cancelled):
        second.result()
    assert not list(second.events())


def test_a_job_that_fails_says_why_and_the_next_one_runs(job: EditJob, service: Service) -> None:
    lost = service.submit(replace(job, model=ModelOptions("/no/such/model")))
    with pytest.raises(UserError, match="/no/such/model"):
        lost.result()
    assert service.submit(job).result().losses


def test_a_closed_service_does_not_begin_what_waits(job: EditJob, pool: ModelPool) -> None:
    service = Service(pool)
    running, waiting = service.submit(job), service.submit(job)
    service.close()
    assert running.result().losses
    with pytest.raises(Cancelled):
        waiting.result(1)


# -- models ------------------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_once_while_it_is_kept(dummy_folder: Path) -> None:
    pool = ModelPool(size=1)
    options = ModelOptions(str(dummy_folder), device="cpu")
    first = pool.get(options)
    assert pool.get(replace(options, fingerprint=first.backbone.weights.fingerprint)) is first
    assert pool.get(replace(options, dtype="bfloat16")) is not first
    assert pool.get(options) is not first  # it had to go
    pool.clear()


def test_other_weights_than_those_asked_for_are_refused(dummy_folder: Path, pool: ModelPool) -> None:
    with pytest.raises(UserError, match="has other weights than those asked for"):
        pool.get(ModelOptions(str(dummy_folder), device="cpu", fingerprint="0" * 16))


# -- events ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [Started("invert", 20), Stepped("drag", 3, 70, 0.25, 0.5), Stepped("encode", 1, 1), Finished("decode", 0.125)],
)
def test_events_go_through_json_both_ways(event: Event) -> None:
    assert from_data(to_data(event)) == event


@pytest.mark.parametrize(
    "data",
    [{}, {"event": "paused"}, {"event": "started"}, {"event": "finished", "phase": "drag", "seconds": 1, "x": 2}],
)
def test_what_is_not_an_event_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UserError, match="is not an event"):
        from_data(data)
