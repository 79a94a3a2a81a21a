"""`dragflow bench` as a person uses it: look, run, score, report; and what is refused."""

from __future__ import annotations

import csv
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.bench import run as running
from dragflow.bench.data.world import World, case_of
from dragflow.bench.runs import picture_path, read_header, read_records, read_scored
from dragflow.core.errors import UserError
from dragflow.world import export_cases


def test_from_data_to_report(run: Any, tmp_path: Path) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    data, runs = tmp_path / "data", [tmp_path / "paste", tmp_path / "preview"]
    found = run("bench", "data", data)
    assert (found.code, "2 samples, 0 with a problem" in found.out) == (0, True)
    for folder in runs:
        done = run("bench", "run", data, "--method", folder.name, "-o", folder)
        assert (done.code, "2 done, 0 failed, 0 unreadable" in done.out) == (0, True), done.err
    scored = run("bench", "score", *runs)
    assert scored.code == 0, scored.err
    assert scored.err.count("not measured") == 2  # once for LPIPS, once for features
    assert read_scored(runs[0]).scores[0].values["outside"] == 1
    for name in ("report.html", "report.md"):
        assert run("bench", "report", *runs, "--base", "paste", "-o", tmp_path / name).code == 0
    assert run("bench", "report", *runs, "-o", tmp_path / "report.csv").code == 0
    assert "| PSNR_area" in (tmp_path / "report.md").read_text()
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert {(row["label"], row["sample"]) for row in rows} == {
        (label, sample) for label in ("paste", "preview") for sample in ("0000", "0001")
    }


def test_a_report_can_do_without_the_data(run: Any, tmp_path: Path) -> None:
    export_cases([case_of(0)], tmp_path / "data")
    run("bench", "run", tmp_path / "data", "--method", "paste", "-o", tmp_path / "run")
    run("bench", "score", tmp_path / "run")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    running.data_set.cache_clear()  # as in another process
    done = run("bench", "report", tmp_path / "run", "-o", tmp_path / "report.html")
    assert (done.code, "results only" in done.err) == (0, True)
    assert run("bench", "score", tmp_path / "run").code == 2
    assert run("bench", "score", tmp_path / "run", "--data", tmp_path / "elsewhere").code == 0


def test_a_method_with_a_model_is_labelled_by_what_was_asked(run: Any, tmp_path: Path) -> None:
    quick = ["--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1"]
    done = run("bench", "run", "world:2", "--limit", 1, "--model", "dummy", *quick, "-o", tmp_path / "run")
    assert (done.code, "1 done" in done.out) == (0, True), done.err
    header = read_header(tmp_path / "run")
    assert header.label == "dragflow paste inversion.steps=2 inversion.skip=1"
    assert header.weights is not None
    assert header.weights.options.model == "dummy"
    with_taps = run("bench", "score", tmp_path / "run", "--features", "taps", "--model", "dummy")
    assert with_taps.code == 0, with_taps.err
    scored = read_scored(tmp_path / "run")
    assert "taps" in scored.tools.features
    assert scored.scores[0].values["MD1"] >= 0


def test_scores_of_other_data_leave_those_that_are_there(run: Any, tmp_path: Path) -> None:
    run("bench", "run", "world:2", "--method", "paste", "-o", tmp_path / "run")
    run("bench", "score", tmp_path / "run")
    before = read_scored(tmp_path / "run")
    assert len(before.scores) == 2
    for other in ("world:2@50", "world:1"):
        done = run("bench", "score", tmp_path / "run", "--data", other)
        assert (done.code, "give the same data" in done.err) == (2, True), done.err
    assert read_scored(tmp_path / "run") == before


def test_pictures_of_another_program_are_taken_in(run: Any, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    Image.fromarray(World(0, 2).load("1").image.pixels).save(tmp_path / "theirs" / "1.png")
    arguments = ["world:2", tmp_path / "theirs", "--label", "Theirs", "-o", tmp_path / "run"]
    done = run("bench", "import", *arguments)
    assert (done.code, "1 done, 1 failed" in done.out, "failed: 0: this sample has no picture" in done.err) == (
        0,
        True,
        True,
    )
    assert np.array_equal(
        np.asarray(Image.open(picture_path(tmp_path / "run", "1"))), World(0, 2).load("1").image.pixels
    )


def test_a_broken_sample_is_told_and_costs_the_others_nothing(run: Any, tmp_path: Path) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch '{canary}'",)

    (tmp_path / "data" / "evil").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "data" / "evil" / "original_image.png")
    (tmp_path / "data" / "evil" / "meta_data.pkl").write_bytes(pickle.dumps(Evil()))
    found = run("bench", "data", tmp_path / "data")
    assert (found.code, "3 samples, 1 with a problem" in found.out) == (0, True)
    assert "problem in evil" in found.out
    done = run("bench", "run", tmp_path / "data", "--method", "paste", "-o", tmp_path / "run")
    assert (done.code, "2 done, 0 failed, 1 unreadable" in done.out) == (0, True)
    assert {r.sample: r.status for r in read_records(tmp_path / "run")}["evil"] == "unreadable"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["report", "RUN", "-o", "r.md", "--gallery", "3"], "--gallery has no effect on a report .md"),
        (["report", "RUN", "-o", "r.csv", "--gallery", "3"], "--gallery has no effect on a report .csv"),
        (["report", "RUN", "-o", "r.csv", "--base", "paste"], "--base has no effect"),
        (["report", "RUN", "-o", "r.csv", "--statistic", "median"], "--statistic has no effect"),
        (["score", "RUN", "--device", "cpu"], "--device is cpu, but no model measures anything"),
        (["score", "RUN", "--model", "nano"], "no features"),
    ],
)
def test_options_without_effect_are_refused(
    arguments: list[str], word: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dragflow.bench.metrics.suite.find_weights", _no_weights)
    run("bench", "run", "world:1", "--method", "paste", "-o", "RUN")
    run("bench", "score", "RUN")
    done = run("bench", *arguments)
    assert (done.code, word in done.err) == (2, True), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["RUN"]


def _no_weights(path: Path | None) -> Path:
    raise UserError("no weights of LPIPS")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["bench", "run", "world:2", "--method", "magic", "-o", "OUT"], "method 'magic' is not known"),
        (["bench", "run", "world:2", "--method", "paste", "--preset", "fast", "-o", "OUT"], "--preset has no effect"),
        (["bench", "run", "world:2", "--method", "paste", "--model", "nano", "-o", "OUT"], "--model has no effect"),
        (["bench", "run", "world:2", "--method", "paste", "--device", "cpu", "-o", "OUT"], "--device has no effect"),
        (["bench", "run", "world:2", "--method", "paste", "--devices", "cpu", "-o", "OUT"], "--devices has no effect"),
        (["bench", "run", "world:2", "--method", "paste", "--subject.clip=x", "-o", "OUT"], "--subject.clip has"),
        (["bench", "run", "world:2", "--method", "paste", "--regions", "mask", "-o", "OUT"], "--regions is 'mask'"),
        (["bench", "run", "world:2", "--method", "paste", "--processes", "1000000", "-o", "OUT"], "equal to 256"),
        (["bench", "run", "world:none", "--method", "paste", "-o", "OUT"], "world:COUNT"),
        (["bench", "run", "nowhere", "--method", "paste", "-o", "OUT"], "nowhere"),
        (["bench", "run", "world:2", "--set", "speed=3", "-o", "OUT"], "speed"),
        (["bench", "run", "world:2", "--devices", "a", "--devices", "b", "--processes=2", "-o", "OUT"], "2 processes"),
        (["bench", "score", "nowhere"], "a run is made by"),
        (["bench", "report", "nowhere", "-o", "OUT.html"], "a run is made by"),
        (["bench", "import", "world:2", "nowhere", "--label", "x", "-o", "OUT"], "not a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_and_leaves_nothing(
    arguments: list[str], word: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert (done.code, word in done.err) == (2, True), done.err
    assert not list(tmp_path.iterdir())
