"""Running and scoring: what is made is not made again, a killed run goes on, errors are records."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragflow.bench import run as running
from dragflow.bench.data.registry import rule_name, rule_named
from dragflow.bench.data.world import World, case_of
from dragflow.bench.external import import_results
from dragflow.bench.run import Plan, run
from dragflow.bench.runs import RECORDS, RunRecord, picture_path, read_header, read_records
from dragflow.bench.sample import Sample
from dragflow.bench.score import scorable, score
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.core.errors import NumericalError, UserError
from dragflow.core.models import ModelOptions
from dragflow.files.presets import load_preset, override
from dragflow.service.executors import InProcess, executor
from dragflow.world import export_cases

PREVIEW = Plan("world:3", None, "preview", "preview", None, None)
QUICK = override(load_preset("paste"), ["inversion.steps=2", "inversion.skip=1"])
IDS = ("0", "1", "2")


def made(plan: Plan, out: Path, ids: tuple[str, ...] = IDS, *, retry: bool = False) -> list[RunRecord]:
    return list(run(plan, ids, out, InProcess(), retry=retry))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The samples on which work is done."""
    seen: list[str] = []
    make = running._make

    def counted(job: running._Job, device: str | None) -> running._Made:
        seen.append(job.sample)
        return make(job, device)

    monkeypatch.setattr(running, "_make", counted)
    return seen


def test_every_sample_is_made_and_recorded(tmp_path: Path) -> None:
    found = made(PREVIEW, tmp_path / "run")
    assert [record.sample for record in found] == list(IDS)
    assert read_records(tmp_path / "run") == tuple(found)
    for record in found:
        sample = World(0, 3).load(record.sample)
        image = np.asarray(Image.open(picture_path(tmp_path / "run", record.sample)))
        assert record.status == "done"
        assert record.source_sha256 == sample.image.sha256
        assert (image == sample.image.pixels)[~sample.task.area].all()
    header = read_header(tmp_path / "run")
    assert (header.method, header.config, header.weights) == ("preview", None, None)


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path, calls: list[str]) -> None:
    made(PREVIEW, tmp_path / "run", ("0",))
    assert [record.sample for record in made(PREVIEW, tmp_path / "run")] == list(IDS)
    assert calls == ["0", "1", "2"]


def test_a_run_with_a_model_says_which(tmp_path: Path) -> None:
    plan = replace(PREVIEW, method="dragflow", label="ours", config=QUICK, model=ModelOptions("dummy"))
    (record,) = made(plan, tmp_path / "run", ("0",))
    header = read_header(tmp_path / "run")
    assert header.weights is not None
    assert (header.weights.options.model, header.config) == ("dummy", QUICK)
    assert record.calls > 0
    with pytest.raises(UserError, match=r"config\.inversion\.steps is 2 there, 25 here"):
        made(replace(plan, config=EditConfig()), tmp_path / "run", ("0",))


def test_what_a_method_raises_is_recorded_and_costs_no_other_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    without = running.run_without_model

    def fails_on_one(method: str, sample: Sample) -> object:
        if sample.id == "1":
            raise NumericalError("the latent is not finite")
        return without(method, sample)

    monkeypatch.setattr(running, "run_without_model", fails_on_one)
    found = made(PREVIEW, tmp_path / "run")
    assert [record.status for record in found] == ["done", "failed", "done"]
    assert found[1].error == "NumericalError: the latent is not finite"
    assert not picture_path(tmp_path / "run", "1").exists()
    made(PREVIEW, tmp_path / "run")
    assert calls == list(IDS)  # a failure is a result
    monkeypatch.setattr(running, "run_without_model", without)
    assert [record.status for record in made(PREVIEW, tmp_path / "run", retry=True)] == ["done"] * 3
    assert calls == [*IDS, "1"]


def flip(path: Path) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [Path.unlink, flip, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_a_picture_that_is_gone_or_damaged_is_made_again(
    damage: Callable[[Path], None], tmp_path: Path, calls: list[str]
) -> None:
    first = made(PREVIEW, tmp_path / "run")
    picture = picture_path(tmp_path / "run", "1")
    whole = picture.read_bytes()
    damage(picture)
    with pytest.raises(UserError, match=r"pictures/1\.png is .*makes the picture again"):
        scorable(tmp_path / "run", World(0, 3))
    again = made(PREVIEW, tmp_path / "run")
    assert calls == [*IDS, "1"]
    assert picture.read_bytes() == whole
    assert {record.picture_sha256 for record in again} == {record.picture_sha256 for record in first}
    assert len(scorable(tmp_path / "run", World(0, 3))) == 3


def repaint(path: Path) -> None:
    """Turn a picture's first pixel into its opposite; in a mask a pixel is added."""
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)


def shrink(path: Path) -> None:
    """Take the topmost row of pixels off a mask."""
    pixels = np.array(Image.open(path))
    pixels[pixels.any(axis=1).argmax()] = 0
    Image.fromarray(pixels).save(path)


def rename_subject(path: Path) -> None:
    path.write_text(path.read_text().replace('"caption": "', '"caption": "perhaps '))


@pytest.mark.parametrize(
    ("change", "file", "part"),
    [
        (repaint, "original_image.png", "picture"),
        (shrink, "operation.png", "instruction"),
        (repaint, "mask.png", "instruction"),
        (rename_subject, "world.json", "instruction"),
    ],
)
def test_data_that_changed_since_are_noticed_by_run_and_by_score(
    change: Callable[[Path], None], file: str, part: str, tmp_path: Path
) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    plan = replace(PREVIEW, data=str(tmp_path / "data"))
    made(plan, tmp_path / "run", ("0000",))
    before = (tmp_path / "run" / RECORDS).read_bytes()
    change(tmp_path / "data" / "0000" / file)
    with pytest.raises(UserError, match=rf"the {part} of sample 0000 is not the one .* give the same data, or make a"):
        made(plan, tmp_path / "run", ("0000", "0001"))
    with pytest.raises(UserError, match=rf"the {part} of sample 0000 is not the one"):
        list(score(tmp_path / "run", running.data_set(plan.data, None), Likeness()))
    assert (tmp_path / "run" / RECORDS).read_bytes() == before


def test_a_sample_that_is_gone_or_broken_since_is_noticed(tmp_path: Path) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    plan = replace(PREVIEW, data=str(tmp_path / "data"))
    made(plan, tmp_path / "run", ("0000", "0001"))
    (tmp_path / "data" / "0001" / "operation.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"sample 0001, which .* holds, cannot be read .*operation\.png"):
        made(plan, tmp_path / "run", ("0000", "0001"))
    shutil.rmtree(tmp_path / "data" / "0001")
    running.data_set.cache_clear()  # as in another process
    with pytest.raises(UserError, match=r"has no sample '0001', which .* holds: give the same data"):
        made(plan, tmp_path / "run", ("0000",))


def test_a_sample_that_was_mended_is_made(tmp_path: Path) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    mask = tmp_path / "data" / "0001" / "operation.png"
    good = mask.read_bytes()
    mask.write_bytes(b"no picture")
    plan = replace(PREVIEW, data=str(tmp_path / "data"))
    made(plan, tmp_path / "run", ("0000", "0001"))
    lines = (tmp_path / "run" / RECORDS).read_bytes()
    assert [record.status for record in made(plan, tmp_path / "run", ("0000", "0001"))] == ["done", "unreadable"]
    assert (tmp_path / "run" / RECORDS).read_bytes() == lines  # it is as broken as before
    mask.write_bytes(good)
    assert [record.status for record in made(plan, tmp_path / "run", ("0000", "0001"))] == ["done", "done"]


def test_records_in_another_order_and_twice_are_the_same_run(tmp_path: Path, calls: list[str]) -> None:
    first = made(PREVIEW, tmp_path / "run")
    log = tmp_path / "run" / RECORDS
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[::-1], *lines]))
    assert made(PREVIEW, tmp_path / "run") == first
    assert calls == list(IDS)


def test_a_run_from_before_requests_were_recorded_goes_on(tmp_path: Path, calls: list[str]) -> None:
    made(PREVIEW, tmp_path / "run")
    log = tmp_path / "run" / RECORDS
    records = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(record | {"request_sha256": ""}) + "\n" for record in records))
    assert len(made(PREVIEW, tmp_path / "run")) == 3
    assert calls == list(IDS)


def test_a_loader_that_fails_in_any_way_costs_no_other_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = World.load

    def fails_on_one(self: World, sample: str) -> Sample:
        if sample == "1":
            raise ZeroDivisionError("a bug")
        return load(self, sample)

    monkeypatch.setattr(World, "load", fails_on_one)
    found = made(PREVIEW, tmp_path / "run")
    assert [record.status for record in found] == ["done", "unreadable", "done"]
    assert found[1].error == "ZeroDivisionError: a bug"


def test_a_broken_sample_is_recorded(tmp_path: Path) -> None:
    export_cases([case_of(0), case_of(1)], tmp_path / "data")
    (tmp_path / "data" / "0001" / "operation.png").write_bytes(b"no picture")
    plan = replace(PREVIEW, data=str(tmp_path / "data"))
    good, broken = made(plan, tmp_path / "run", ("0000", "0001"))
    assert (good.status, broken.status) == ("done", "unreadable")
    assert "operation.png" in broken.error


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_makes_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "run"
    program = "from dragflow.cli.app import main; main()"
    command = [sys.executable, "-c", program, "bench", "run", "world:60", "--method", "preview", "-o", str(out)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (out / RECORDS).exists() or (out / RECORDS).read_bytes().count(b"\n") < 2:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = read_records(out)
    assert 2 <= len(before) < 60
    ids = tuple(str(number) for number in range(len(before) + 2))
    found = made(replace(PREVIEW, data="world:60"), out, ids)
    assert tuple(found[: len(before)]) == before
    lines = (out / RECORDS).read_text().splitlines()
    assert len(lines) == len(ids)
    assert {path.stem for path in (out / "pictures").iterdir() if not path.name.startswith(".")} >= set(ids)


@pytest.mark.slow
def test_several_processes_make_the_same_pictures(tmp_path: Path) -> None:
    one = made(PREVIEW, tmp_path / "one")
    with executor(processes=2) as pool:
        two = list(run(PREVIEW, IDS, tmp_path / "two", pool))
    assert {(r.sample, r.picture_sha256) for r in one} == {(r.sample, r.picture_sha256) for r in two}


def save(folder: Path, name: str, pixels: Pixels) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def test_pictures_of_others_are_taken_in_by_name(tmp_path: Path) -> None:
    results = tmp_path / "theirs"
    save(results, "0.png", World(0, 3).load("0").image.pixels)
    save(results, "2.jpg", World(0, 3).load("2").image.pixels[::2, ::2].copy())
    first, missing, small = import_results("world:3", None, results, "theirs", tmp_path / "run")
    assert (first.status, missing.status, small.status) == ("done", "failed", "done")
    assert "no picture" in missing.error
    assert Image.open(picture_path(tmp_path / "run", "2")).size == (128, 128)
    save(results, "1.webp", World(0, 3).load("1").image.pixels)
    assert [r.status for r in import_results("world:3", None, results, "theirs", tmp_path / "run")] == ["done"] * 3
    assert read_header(tmp_path / "run").label == "theirs"


def test_what_changed_among_the_pictures_of_others_is_taken_in_again(tmp_path: Path) -> None:
    sources, results = {i: World(0, 3).load(i).image.pixels for i in IDS}, tmp_path / "theirs"
    for i in IDS:
        save(results, f"{i}.png", sources[i])
    first = list(import_results("world:3", None, results, "theirs", tmp_path / "run"))
    picture_path(tmp_path / "run", "0").unlink()
    save(results, "1.png", 255 - sources["1"])
    again = list(import_results("world:3", None, results, "theirs", tmp_path / "run"))
    assert (again[0], again[2]) == (first[0], first[2])
    assert again[1].picture_sha256 != first[1].picture_sha256
    assert len(scorable(tmp_path / "run", World(0, 3))) == 3
    assert len((tmp_path / "run" / RECORDS).read_bytes().splitlines()) == 4


@pytest.mark.parametrize(("mode", "name", "word"), [("CMYK", "0.jpg", "CMYK")])
def test_a_picture_of_others_that_cannot_be_read_is_recorded(mode: str, name: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    Image.new(mode, (256, 256)).save(tmp_path / "theirs" / name)
    Image.new("L", (256, 256)).save(tmp_path / "theirs" / "1.png")
    first, gray, _ = import_results("world:3", None, tmp_path / "theirs", "theirs", tmp_path / "run")
    assert (first.status, gray.status) == ("failed", "done")
    assert word in first.error


def test_folders_of_a_sample_may_be_written_flat(tmp_path: Path) -> None:
    export_cases([case_of(0)], tmp_path / "data" / "cats")
    save(tmp_path / "theirs", "cats_0000.png", case_of(0).source)
    (record,) = import_results(str(tmp_path / "data"), None, tmp_path / "theirs", "theirs", tmp_path / "run")
    assert (record.sample, record.status) == ("cats/0000", "done")


def test_results_that_fit_no_sample_are_refused_with_the_names_that_would(tmp_path: Path) -> None:
    save(tmp_path / "theirs", "picture.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UserError, match=r"for sample '0' one of 0\.png, 0\.jpg"):
        list(import_results("world:3", None, tmp_path / "theirs", "theirs", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


class Likeness:
    """Scores the share of pixels that are the source's."""

    def score(self, sample: Sample, image: Pixels) -> dict[str, float]:
        return {"outside": float((image == sample.image.pixels).all(axis=2).mean())}


def test_every_picture_is_scored_and_what_failed_is_not(tmp_path: Path) -> None:
    sources = {i: World(0, 3).load(i).image.pixels for i in IDS}
    save(tmp_path / "theirs", "0.png", sources["0"])
    save(tmp_path / "theirs", "2.png", 255 - sources["2"])
    list(import_results("world:3", None, tmp_path / "theirs", "theirs", tmp_path / "run"))
    found = list(score(tmp_path / "run", World(0, 3), Likeness()))
    assert [(s.sample, s.values["outside"]) for s in found] == [("0", 1.0), ("2", 0.0)]
    assert found[0].category == World(0, 3).load("0").category


def test_the_rule_of_regions_is_recorded_and_read_back() -> None:
    assert [rule_name("folder", rule) for rule in (None, "thing", "disc")] == ["thing", "thing", "disc"]
    assert [rule_named("folder", name) for name in ("disc", "mask", "of later")] == ["disc", "mask", None]
    # Earlier versions recorded a rule for painted regions, too.
    assert (rule_name("world:3", None), rule_named("world:3", "painted"), rule_named("world:3", "disc")) == (
        "painted",
        None,
        None,
    )


def test_a_run_is_not_scored_against_other_data(tmp_path: Path) -> None:
    made(PREVIEW, tmp_path / "run", ("0",))

    class Other(World):
        def load(self, sample: str) -> Sample:
            return World(5, 1).load("5")

    with pytest.raises(UserError, match="give the same data"):
        list(score(tmp_path / "run", Other(0, 3), Likeness()))


def test_data_without_a_sample_of_the_run_are_refused(tmp_path: Path) -> None:
    made(PREVIEW, tmp_path / "run")
    with pytest.raises(UserError, match=r"has no sample '2', which .*: give the same data"):
        list(score(tmp_path / "run", World(0, 2), Likeness()))
