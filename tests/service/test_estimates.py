"""Estimates of time and memory: from what was measured, never from nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import from_pixels
from dragflow.files.presets import load_preset, override, preset_names
from dragflow.service.estimates import MOST, Estimates, Measured, model_calls, model_key
from dragflow.service.jobs import EditJob, plan
from dragflow.service.pool import ModelPool
from dragflow.service.run import Service

MODEL = ModelOptions("dummy", device="cpu")
PHASES = {"encode": (1, 1.0), "invert": (4, 4.0), "start": (4, 2.0), "drag": (1, 3.0), "denoise": (4, 2.0)}
RUN = Measured(
    model=model_key(MODEL),
    pixels=64 * 80,
    picture=64 * 80,
    phases=PHASES | {"decode": (1, 0.5)},
    rest=0.5,
    load=7.0,
    memory=900.0,
)


def job(
    scale: int = 1, settings: tuple[str, ...] = (), preset: str = "default", model: ModelOptions = MODEL
) -> EditJob:
    source = from_pixels(np.random.default_rng(0).integers(0, 256, (64 * scale, 80 * scale, 3), dtype=np.uint8))
    asked = Instruction(Operation(Box(10, 10, 30, 30), Translate((50, 40))), "a cat")
    short = ["inversion.steps=4", "inversion.skip=1", "start.stride=1", "optimise.refining=1", *settings]
    return plan(source, asked, override(load_preset(preset), short), model)


def known(*runs: Measured) -> Estimates:
    estimates = Estimates()
    for run in runs:
        estimates.add(run)
    return estimates


def test_what_was_never_seen_is_notknown() -> None:
    found = Estimates().of(job(), loaded=False)
    assert (found.seconds, found.load_seconds, found.memory_mib) == (None, None, None)
    other = known(replace(RUN, model="other")).of(job())
    assert (other.seconds, other.load_seconds) == (None, 0)
    assert known(RUN).of(job(settings=("denoise.background=resample", "start.mode=source"))).seconds is not None
    never_dragged = {name: cost for name, cost in RUN.phases.items() if name != "drag"}
    assert known(replace(RUN, phases=never_dragged)).of(job()).seconds is None


def test_the_same_again_takes_what_it_took() -> None:
    found = known(RUN).of(job(), loaded=False)
    assert found.seconds == pytest.approx(13)
    assert (found.load_seconds, found.memory_mib) == (7, 900)


def test_what_is_loaded_and_inverted_is_not_counted_again() -> None:
    estimates = known(RUN)
    assert estimates.of(job(), loaded=True).load_seconds == 0
    assert estimates.of(job(), inverted=True).seconds == pytest.approx(8)
    assert estimates.of(job(), 3).seconds == pytest.approx(3 * 13)
    assert estimates.of(job(), 3, shared=True).seconds == pytest.approx(3 * 8 + 5)


def test_steps_iterations_and_size_count() -> None:
    estimates = known(RUN)
    assert estimates.of(job(settings=("optimise.refining=5",))).seconds == pytest.approx(13 + 4 * 3)
    assert estimates.of(job(settings=("inversion.steps=8",))).seconds == pytest.approx(13 + 4 * (1 + 0.5 + 0.5))
    larger = estimates.of(job(2, settings=("size.window=whole",)))
    assert larger.seconds == pytest.approx(4 * 13)
    assert larger.memory_mib is None
    scaled_down = estimates.of(job(2, settings=("size.window=whole", "size.max_pixels=5120")))
    assert scaled_down.seconds == pytest.approx(13 + 3 * 0.5)


def test_the_nearest_size_and_the_median_count() -> None:
    far = replace(RUN, pixels=16 * RUN.pixels, phases={name: (n, 99.0) for name, (n, _) in RUN.phases.items()})
    slow = replace(RUN, rest=100.0, memory=950.0)
    found = known(RUN, far, slow, RUN).of(job())
    assert found.seconds == pytest.approx(13)
    assert found.memory_mib == 950


def test_a_file_keeps_them_and_a_damaged_one_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "new" / "edits.json"
    Estimates(path).add(RUN)
    assert Estimates(path).of(job()).seconds == pytest.approx(13)
    assert MODEL.name not in path.read_text()
    for damaged in (b"", b"[{}]", path.read_bytes()[:-9], path.read_bytes().replace(b"7.0", b'"x"'), b"\xff"):
        path.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            assert Estimates(path).of(job()).seconds is None
        assert str(path) in caplog.text
        Estimates(path).add(RUN)
        assert Estimates(path).of(job()).seconds is not None


def test_what_cannot_be_written_is_said_and_stillknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    estimates = Estimates(tmp_path / "file" / "edits.json")
    estimates.add(RUN)
    assert "is not kept" in caplog.text
    assert estimates.of(job()).seconds is not None


def test_an_estimate_does_not_wait_for_torch() -> None:
    script = "import sys, dragflow.service.estimates, dragflow.http.app; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_oldest_are_forgotten() -> None:
    estimates = known(replace(RUN, model="other"), *[RUN] * MOST)
    assert len(estimates.known) == MOST
    assert all(run.model == RUN.model for run in estimates.known)


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("rule", ["none", "mapped"])
@pytest.mark.parametrize("solver", ["fireflow", "euler"])
def test_model_calls_are_those_that_edits_make(
    preset: str, rule: str, solver: str, kontext_folder: Path, dummy_folder: Path, dummy_bridge: Path
) -> None:
    model = ModelOptions.of(kontext_folder, device="cpu") if load_preset(preset).references else MODEL
    if load_preset(preset).start.mode == "bridge":
        model = ModelOptions.of(dummy_folder, bridge=dummy_bridge, device="cpu")
    settings = ("optimise.moving=1", f"kv.rule={rule}", f"inversion.solver={solver}", "size.max_pixels=4096")
    service, asked = Service(), job(preset=preset, settings=settings, model=model)
    result = service.submit(asked).result()
    service.close()
    assert {timing.phase: timing.calls for timing in result.provenance.timings} == dict(model_calls(asked.config))


def test_a_service_learns_from_its_jobs() -> None:
    service = Service(ModelPool(inversion_bytes=2**26))
    assert service.estimate(job()).seconds is None
    handles = [service.submit(one) for one in (job(), job(settings=("seed=5",)))]
    handles[-1].result()
    service.close()
    first, second = service.estimates.known
    assert first.load is not None
    assert second.load is None
    assert "invert" not in second.phases
    for handle, run in zip(handles, (first, second), strict=True):
        spent = (run.load or 0) + run.rest + sum(seconds for _, seconds in run.phases.values())
        assert spent == pytest.approx(handle.seconds, abs=0.05)
    again = service.estimate(job())
    assert again.load_seconds == 0
    fresh = service.estimate(replace(job(), source=from_pixels(np.zeros((64, 80, 3), np.uint8))))
    assert again.seconds is not None
    assert fresh.seconds is not None
    assert again.seconds < fresh.seconds
    assert again.memory_mib == max(first.memory or 0, second.memory or 0)
