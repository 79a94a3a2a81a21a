"""Submitted jobs: events, cancelling, results and errors; the pool of models."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragflow.core.config import EditConfig
from dragflow.core.errors import Cancelled, UserError
from dragflow.core.events import Event, Finished, Observer, Started, Stepped
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override
from dragflow.service.events import from_data, to_data
from dragflow.service.jobs import EditJob, plan
from dragflow.service.limits import Busy, Limits
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


def noisy(job: EditJob) -> EditJob:
    """The same edit under noise, so that every seed gives another picture."""
    return replace(job, config=override(job.config, ["inversion.mode=noised"]))


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


# -- queues and bounds -------------------------------------------------------------------------------------------------


class Held:
    """Jobs that stop at their beginning until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[EditJob] = []
        self.reached, self.go = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr(sys.modules["dragflow.service.run"], "run", self._run)

    def _run(self, job: EditJob, pool: ModelPool, observer: Observer) -> object:
        self.begun.append(job)
        self.reached.release()
        while not self.go.wait(0.01):
            observer(Started("encode", 1))
        return job


def test_two_devices_work_side_by_side_and_each_in_its_order(job: EditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    held, service = Held(monkeypatch), Service()
    other = replace(job, model=replace(job.model, device="cuda:1"))
    first, second, third = service.submit(job), service.submit(job), service.submit(other)
    held.reached.acquire(timeout=10)
    held.reached.acquire(timeout=10)
    assert [one.model.device for one in held.begun] in (["cpu", "cuda:1"], ["cuda:1", "cpu"])
    assert [service.position(handle) for handle in (first, second, third)] == [0, 1, 0]
    assert [handle.state for handle in (first, second, third)] == ["running", "queued", "running"]
    held.go.set()
    second.result(10)
    assert service.position(second) is None
    service.close()


def test_what_waits_is_cancelled_at_once(job: EditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    held, service = Held(monkeypatch), Service()
    running, waiting = service.submit(job), service.submit(job)
    held.reached.acquire(timeout=10)
    waiting.cancel()
    assert (running.state, waiting.state) == ("running", "cancelled")
    with pytest.raises(Cancelled):
        waiting.result(0)
    held.go.set()
    service.close()
    assert len(held.begun) == 1


def test_a_full_queue_takes_all_variants_or_none(job: EditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    held, service = Held(monkeypatch), Service(limits=Limits(queue=3))
    job = noisy(job)
    service.submit(job)
    with pytest.raises(Busy, match="1 edits wait already, and 3 may"):
        service.submit_variants(job, [1, 2, 3])
    assert len(service.submit_variants(job, [1, 2])) == 2
    held.go.set()
    service.close()


def test_variants_are_the_edits_with_these_seeds(job: EditJob, service: Service) -> None:
    seen: list[int] = []
    job = noisy(job)
    first, second = service.submit_variants(job, [4, 5], lambda number: lambda _: seen.append(number))
    alone = service.submit(replace(job, config=replace(job.config, seed=5)))
    assert second.result().png() == alone.result().png() != first.result().png()
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}
    with pytest.raises(UserError, match="no seed is given"):
        service.submit_variants(job, [])


def test_variants_that_would_be_alike_are_refused(job: EditJob, service: Service) -> None:
    with pytest.raises(UserError, match=r"2 variants .* preset default \(3 settings changed\) draws no noise"):
        service.submit_variants(job, [4, 5])
    with pytest.raises(UserError, match="2 variants are asked for"):
        service.estimate(job, 2)
    assert len(service.submit_variants(job, [4])) == 1
    service.handles[-1].cancel()


def test_a_job_ends_after_its_time(job: EditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    Held(monkeypatch)
    service = Service(limits=Limits(seconds=0.1))
    handle = service.submit(job)
    with pytest.raises(UserError, match=r"was stopped after 0\.1 seconds"):
        handle.result(10)
    assert handle.state == "failed"
    service.close()


def test_a_picture_that_is_too_large_is_refused(job: EditJob) -> None:
    with pytest.raises(UserError, match="80 x 64 pixels, over the limit of 4096 here"):
        Service(limits=Limits(pixels=4096)).submit(job)


def test_an_ended_job_is_kept_for_its_time(job: EditJob, monkeypatch: pytest.MonkeyPatch) -> None:
    held, service = Held(monkeypatch), Service(limits=Limits(keep_seconds=0.2))
    held.go.set()
    handle = service.submit(job)
    handle.result(10)
    assert service.get(handle.id) is handle
    assert service.get(handle.id[:-1]) is None
    time.sleep(0.3)
    assert service.get(handle.id) is None
    assert service.handles == ()
    service.close()


def test_a_further_edit_of_a_picture_does_not_invert_it_again(job: EditJob, service: Service) -> None:
    sharing = Service(ModelPool(inversion_bytes=2**26))
    first, second = sharing.submit(job), sharing.submit(job)
    assert first.result().png() == second.result().png() == service.submit(job).result().png()
    phases = [{event.phase for event in handle.events()} for handle in (first, second)]
    assert "invert" in phases[0]
    assert "invert" not in phases[1]
    sharing.close()


def test_a_folder_of_inverted_pictures_has_its_size(job: EditJob, tmp_path: Path) -> None:
    for name, most, count in (("large", 2**26, 1), ("small", 1, 0)):
        keeping = Service(ModelPool(cache=tmp_path / name, cache_bytes=most))
        keeping.submit(job).result()
        keeping.close()
        assert len(list((tmp_path / name).iterdir())) == count


def test_what_is_too_large_is_not_kept(job: EditJob) -> None:
    sharing = Service(ModelPool(inversion_bytes=1))
    handles = [sharing.submit(job) for _ in range(2)]
    assert all("invert" in {event.phase for event in handle.events()} for handle in handles)
    sharing.close()


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
