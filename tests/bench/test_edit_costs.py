"""What the benchmarks of an edit's cost count, and the programme for a GPU, tried on small models."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from dragflow import EditConfig, Editor

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CONFIG = EditConfig().with_(
    inversion={"steps": 3, "skip": 1}, optimise={"moving": 1, "refining": 0}, size={"window": "whole"}
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports one of the benchmarks."""
    for folder in (BENCHMARKS, BENCHMARKS / "gpu"):
        monkeypatch.syspath_prepend(str(folder))
    yield import_module
    for name in ("counted", "edit_stages", "wordless", "programme", "published_schedule"):
        sys.modules.pop(name, None)


def test_a_call_of_flux1_is_counted_as_the_closed_form_says(script: Any) -> None:
    counted, stages = script("counted"), script("edit_stages")
    model = counted.counted_flux1(num_layers=2, num_single_layers=4)
    work = stages.Work((528, 592))
    needed = stages.Necessary.of(model, work, CONFIG)
    with counted.flop() as done:
        model.velocity(torch.zeros(1, 16, 66, 74), 0.5, model.condition("", guidance=3.5))
    assert done() == pytest.approx(sum(needed.call(1221 + 512, 6)), rel=0.01)
    whole = sum(needed.call(1221 + 512, 57))
    assert whole == pytest.approx(24.5e12, rel=0.01)


def test_an_edit_is_counted_by_stage_and_the_next_one_has_no_inversion(script: Any) -> None:
    counted, stages = script("counted"), script("edit_stages")
    model = counted.counted_flux1(num_layers=1, num_single_layers=1, num_attention_heads=1)
    with counted.flop() as done:
        edits = stages.measured(Editor(model), stages.Work((96, 96)), CONFIG, done)
        published = script("published_schedule").PublishedSchedule.of(model, (96, 96), whole_graph=True).flop(done)
    first, further = edits[stages.FIRST], edits[stages.NEXT]
    assert "invert" in first
    assert "invert" not in further
    assert all(first[name].flop > 0 for name in ("encode", "invert", "drag", "denoise", "decode"))
    assert stages.total(further).flop < stages.total(first).flop
    assert published > stages.total(first).flop
    assert first["denoise"].calls == further["denoise"].calls


@pytest.mark.slow
def test_the_programme_for_a_gpu_runs_in_every_form(script: Any) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    programme, stages = script("programme"), script("edit_stages")
    size = "64x80"
    rows = [programme.Row("FLUX.2 klein 4B", "bf16", size)]
    rows += [programme.Row("FLUX.1", stored, size) for stored in programme.STORED]
    for row in rows:
        model = programme._load(row, torch.device("cpu"), True)
        line = programme._measured(row, model, stages.Work((64, 80)), CONFIG, 1e12)
        assert "failed" not in line, line
    assert len(list(programme.rows(list(programme.SIZES)))) == 22
