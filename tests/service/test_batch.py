"""Batches: each item once, whatever ends the run; failures cost the others nothing."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from batch_makers import SETTINGS, desk, instruction, manifest, picture, sample
from dragflow.core.errors import UserError
from dragflow.files.recipes import load_recipe
from dragflow.service.batch import BatchRecord, Settings, Watched, opened, read_manifest, read_records, write_page
from dragflow.service.batch import run as running
from dragflow.service.batch import watch as watching
from dragflow.service.batch import work as working
from dragflow.service.batch.work import Outcome, Request
from dragflow.service.crew import MachineFault
from dragflow.service.executors import InProcess


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places of items that are edited, without a model."""
    seen: list[str] = []

    def edit(request: Request, device: str | None) -> Outcome:
        seen.append(request.place)
        return Outcome(request.name, request.picture, seconds=1.0)

    monkeypatch.setattr(running, "edit", edit)
    monkeypatch.setattr(running, "load", lambda model, device: None)
    return seen


def made(path: Path, out: Path, settings: Settings = SETTINGS, *, retry: bool = False) -> list[BatchRecord]:
    listing = read_manifest(path, skip=out)
    root = listing.folder
    with opened(out, settings) as batch:
        return list(batch.run(batch.waiting(listing.items, root, root, retry=retry), root, root, InProcess()))


def lines(count: int) -> list[dict[str, object]]:
    return [{"image": f"a{number}.png", "instruction": "move.json"} for number in range(count)]


def test_results_have_recipes_and_the_seed_of_their_item(tmp_path: Path) -> None:
    folder = desk(tmp_path / "in", 1)
    asked = [{"image": "a0.png", "instruction": "move.json", "seed": seed} for seed in (3, 4)]
    first, second = made(manifest(folder, *asked), tmp_path / "out")
    assert (first.status, second.status) == ("done", "done"), first.error
    recipes = [load_recipe(tmp_path / "out" / record.output) for record in (first, second)]
    assert [recipe.config.seed for recipe in recipes] == [3, 4]
    assert recipes[0].weights.options.model == "dummy"


def test_items_of_one_picture_share_its_inversion(tmp_path: Path) -> None:
    folder = desk(tmp_path / "in", 1)
    instruction(folder, "other.json", (45, 30))
    asked = [{"image": "a0.png", "instruction": name} for name in ("move.json", "other.json")]
    working._pool.cache_clear()
    working._service.cache_clear()
    made(manifest(folder, *asked), tmp_path / "out")
    inversions = working._pool().get(SETTINGS.model).inversions
    assert inversions is not None
    assert len(inversions._kept) == 1


def test_nothing_is_made_twice(tmp_path: Path, calls: list[str]) -> None:
    folder = desk(tmp_path / "in", 3)
    made(manifest(folder, *lines(2)), tmp_path / "out")
    assert [record.place for record in made(manifest(folder, *lines(3)), tmp_path / "out")] == ["line 3"]
    assert calls == ["line 1", "line 2", "line 3"]
    assert len(read_records(tmp_path / "out")) == 3


def test_what_is_missing_damaged_or_changed_is_made_again(tmp_path: Path, calls: list[str]) -> None:
    folder, out = desk(tmp_path / "in", 4), tmp_path / "out"
    path = manifest(folder, *lines(4))
    first = made(path, out)
    (out / first[0].output).unlink()
    (out / first[1].output).write_bytes(b"damaged")
    picture(folder, "a2.png", 77)
    calls.clear()
    again = made(path, out)
    assert calls == ["line 1", "line 2", "line 3"]
    assert again[0] == first[0]
    assert made(path, out) == []


def test_half_a_line_and_half_a_picture_of_a_killed_run_are_dropped(tmp_path: Path, calls: list[str]) -> None:
    folder, out = desk(tmp_path / "in"), tmp_path / "out"
    path = manifest(folder, *lines(2))
    made(path, out)
    log = out / "batch.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-30])
    (out / ".0123.dragflow.part").write_bytes(b"half")
    calls.clear()
    made(path, out)
    assert calls == ["line 2"]
    assert log.read_bytes() == whole
    assert not list(out.glob("*.part"))


def test_failures_are_recorded_and_tried_again_when_asked_or_mended(tmp_path: Path, calls: list[str]) -> None:
    folder, out = desk(tmp_path / "in", 1), tmp_path / "out"
    path = manifest(folder, {"image": "gone.png", "instruction": "move.json"}, *lines(1), "nonsense")
    found = {record.place: record for record in made(path, out)}
    assert [found[place].status for place in ("line 1", "line 2", "line 3")] == ["failed", "done", "failed"]
    assert "gone.png does not exist" in found["line 1"].error
    assert calls == ["line 2"]
    assert made(path, out) == []
    assert len(made(path, out, retry=True)) == 2
    picture(folder, "gone.png")
    assert [record.status for record in made(path, out)] == ["done"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_a_name_that_is_no_text_stops_nothing(tmp_path: Path, calls: list[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder, "b.png")
    instruction(folder, "b.json")
    for name in ("b.png", "b.json"):
        shutil.copy(folder / name, folder / os.fsdecode(b"\xff" + name.encode()))
    (folder / "c.json").write_text("nonsense")
    picture(folder, "c.png")
    found = {record.place: record.status for record in made(folder, out)}
    assert found == {"?b.png": "done", "b.png": "done", "c.png": "failed"}
    assert len(read_records(out)) == 3


def test_poison_costs_no_other_item(tmp_path: Path) -> None:
    folder = desk(tmp_path / "in")
    (folder / "a0.png").write_bytes((folder / "a0.png").read_bytes()[:200])
    instruction(folder, "outside.json", (500, 500))
    asked = [*lines(2), {"image": "a1.png", "instruction": "outside.json"}]
    found = {record.place: record for record in made(manifest(folder, *asked), tmp_path / "out")}
    assert found["line 2"].status == "done"
    assert "truncated" in found["line 1"].error
    assert found["line 3"].status == "failed"


def test_a_fault_of_the_machine_is_no_failure_of_an_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, name: str) -> None:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    monkeypatch.setattr(working, "decode_image", broken)
    with pytest.raises(MachineFault, match=r"illegal memory access.*to resume"):
        made(manifest(desk(tmp_path / "in", 1), *lines(1)), tmp_path / "out")
    assert read_records(tmp_path / "out") == {}


def test_another_batch_is_refused(tmp_path: Path, calls: list[str]) -> None:
    folder, out = desk(tmp_path / "in", 1), tmp_path / "out"
    path = manifest(folder, *lines(1))
    made(path, out)
    with pytest.raises(UserError, match="another batch: its preset is 'paste', here it is 'fast'"):
        made(path, out, replace(SETTINGS, preset="fast"))
    with pytest.raises(UserError, match="its model is model=dummy, here it is model=nano"):
        made(path, out, replace(SETTINGS, model=replace(SETTINGS.model, model="nano")))
    made(path, out, replace(SETTINGS, model=replace(SETTINGS.model, device="cpu")))
    with pytest.raises(UserError, match="holds no batch"):
        made(path, folder)


def test_a_model_that_cannot_be_loaded_ends_the_batch(tmp_path: Path) -> None:
    folder = desk(tmp_path / "in", 1)
    settings = replace(SETTINGS, model=replace(SETTINGS.model, model=str(tmp_path / "no-model")))
    with pytest.raises(UserError, match="is neither a folder nor a hub id"):
        made(manifest(folder, *lines(1)), tmp_path / "out", settings)
    assert read_records(tmp_path / "out") == {}


def test_the_page_shows_results_and_failures_and_nothing_of_a_stranger_acts(tmp_path: Path, calls: list[str]) -> None:
    folder, out = desk(tmp_path / "in", 1), tmp_path / "out"
    asked = [*lines(1), {"image": "<img src=x onerror=alert(1)>.png", "instruction": "move.json"}]
    found = made(manifest(folder, *asked), out)
    write_page(out, found, "<b>m</b>", waiting=2, rate="this run: 2 items, 9.0 a minute")
    page = (out / "index.html").read_text()
    assert "1 done, 1 failed, 2 waiting" in page
    assert "9.0 a minute" in page
    assert "data:image/webp;base64," in page
    assert f'href="{next(r.output for r in found if r.output)}"' in page
    assert "<img src=x" not in page
    assert "<b>m" not in page


def test_a_watched_folder_gives_each_complete_item_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)
    folder = tmp_path / "hot"
    sample(folder / "one")
    looks = Watched(folder).looks()

    def new() -> list[str]:
        return [item.place for item in next(looks)[1]]

    assert (new(), new(), new()) == ([], ["one"], [])
    written = picture(folder, "b.png")
    data = written.read_bytes()
    written.write_bytes(data[:50])
    assert new() == []
    instruction(folder, "b.json")
    assert new() == []
    time.sleep(0.02)
    written.write_bytes(data)  # it was still being copied
    assert (new(), new(), new()) == ([], ["b.png"], [])
    (tmp_path / "two").mkdir()
    parts = sample(tmp_path / "two" / "sample")
    (folder / "late").mkdir()
    (parts / "instruction.json").rename(folder / "late" / "instruction.json")
    assert (new(), new()) == ([], [])
    for name in ("original_image.png", "operation.png"):
        (parts / name).rename(folder / "late" / name)
    assert (new(), new()) == ([], ["late"])


def test_a_watched_manifest_waits_for_pictures_and_survives_a_bad_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)
    folder = desk(tmp_path / "in", 1)
    path = manifest(folder, *lines(2))
    looks = Watched(path).looks()
    assert [[item.place for item in next(looks)[1]] for _ in range(3)] == [[], ["line 1"], []]
    path.rename(folder / "moved.jsonl")
    assert next(looks)[1] == ()
    (folder / "moved.jsonl").rename(path)
    picture(folder, "a1.png")
    assert [[item.place for item in next(looks)[1]] for _ in range(2)] == [[], ["line 2"]]


def test_results_in_a_watched_folder_are_no_items(tmp_path: Path, calls: list[str]) -> None:
    folder = tmp_path / "hot"
    sample(folder / "one")
    out = folder / "out"
    assert [record.status for record in made(folder, out)] == ["done"]
    Image.open(out / f"{next(iter(read_records(out)))}.png").verify()
    assert made(folder, out) == []
