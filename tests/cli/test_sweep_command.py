"""`dragflow model sweep`: what it keeps is what edits use from then on, and an edit is repeated with what it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragflow.bench.run import pool
from dragflow.bench.sweep import measure
from dragflow.files.recipes import load_recipe
from dragflow.files.sweeps import read_sweep

QUICK = ("inversion.steps=2", "inversion.skip=1", "optimise.moving=0", "optimise.refining=1", "size.max_pixels=4096")
SET = tuple(word for setting in QUICK for word in ("--set", setting))


@pytest.mark.slow
def test_a_sweep_is_used_by_edits_and_a_result_is_repeated_with_what_it_had(
    run: Any, desk: Any, dummy_folder: Path, swept_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool().clear()
    monkeypatch.setattr(
        measure,
        "_values",
        lambda job, device: (
            {
                name: 20.0 if job.trial.name in ("double.0.norm", "single.5", "chosen") else 10.0
                for name in measure.MEASURES
                if name != "landing"
            }
            | {"landing": 0.0 if job.trial.name in ("double.0.norm", "chosen") else 9.0}
        ),
    )
    edit = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", dummy_folder, *SET)
    edit = (*edit, "--preset", "paper", "--set", "optimise.moving=1")
    before, again = desk.folder / "before.png", desk.folder / "again.png"
    assert run(*edit, "-o", before).code == 0
    sweep = ("model", "sweep", dummy_folder, "--data", "world:12@5000", *SET)
    done = run(*sweep, "--report", desk.folder / "sweep.md")
    assert done.code == 0, done.err
    assert "taps: double.0.norm (double.0.norm gain over the model's own" in done.out
    (kept,) = swept_folder.iterdir()
    found = read_sweep(kept.stem)
    assert found is not None
    assert found.taps is not None
    assert found.sites is not None
    assert found.taps.chosen == ("double.0.norm",)
    assert "single.5" in found.sites.chosen

    told = run("-v", *edit, "-o", desk.out)
    assert told.code == 0
    assert f"taps and K/V sites are those of {kept}" in told.err
    config = load_recipe(desk.out).config
    assert (config.optimise.taps, config.kv.sites) == (found.taps.chosen, found.sites.chosen)
    assert str(kept) in "".join(run("doctor", dummy_folder).out.split())

    old = load_recipe(before).config
    assert (old.optimise.taps, old.kv.sites) == (found.taps.own, found.sites.own)
    repeated = run("edit", desk.image, "--from", before, "--model", dummy_folder, "-o", again)
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == before.read_bytes()
    assert desk.out.read_bytes() != before.read_bytes()
    pool().clear()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lora", "a.safetensors"), "--lora has no effect here: a sweep is about the model itself"),
        (("--subject", "nano"), "--subject.adapter has no effect here"),
        (("--report", "sweep.pdf"), "report sweep.pdf is none of .md, .svg, .png"),
        (("--report", "nowhere/sweep.md"), "output folder nowhere does not exist"),
        (("--preset", "paste"), "these settings make none: set optimise.refining=8"),
        (("--data", "world:x"), "'world:x' is not understood"),
        (("--only", "blocks"), "--only"),
        (("--processes", "0"), "--processes"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    options: tuple[str, ...], words: str, run: Any, swept_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragflow.bench.sweep.run.facts", None)
    refused = run("model", "sweep", "dummy", *options)
    assert refused.code == 2, refused.err
    assert words in refused.err
    assert not swept_folder.exists()
