"""Which samples a gallery shows and what stands where one cannot be shown; strip plots as geometry."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_makers import Squares, one_metric, save_results, scored_run, shaded

from dragflow.bench.report.build import build
from dragflow.bench.report.gallery import SIDE, choose, encode, gallery
from dragflow.bench.report.plots import EDGE, WIDTH, strip_plot, ticks
from dragflow.bench.report.tables import Section
from dragflow.bench.runs import RunRecord, ScoredRun
from dragflow.bench.statistics import estimate
from dragflow.files.pictures import from_pixels


def section(*runs: ScoredRun) -> Section:
    return build(runs, None, "mean", None).sections[0]


def test_worst_come_first_by_the_mean_over_runs() -> None:
    first, second = one_metric("landing", [1, 5, 3]), one_metric("landing", [1, 2, 9])
    assert choose(section(scored_run("a", first), scored_run("b", second)), None) == ["2", "1", "0"]
    assert choose(section(scored_run("a", one_metric("PSNR_area", [30, 10, 20]))), None) == ["1", "2", "0"]


def test_samples_without_the_metric_come_last() -> None:
    run = scored_run("a", {"x": {"PSNR_area": 9.0}, "y": {"landing": 0.5}, "z": {"landing": 4.0, "PSNR_area": 10.0}})
    assert choose(section(run), None) == ["x", "z", "y"]


def test_a_limited_gallery_is_spread_over_the_ranking() -> None:
    found = section(scored_run("a", one_metric("landing", [float(i) for i in range(101)])))
    assert choose(found, 5) == ["100", "75", "50", "25", "0"]
    assert choose(found, 1) == ["100"]
    assert choose(found, 0) == []
    assert len(choose(found, 500)) == 101


def test_an_entry_holds_what_is_known_of_a_sample(tmp_path: Path) -> None:
    run = scored_run("a", one_metric("landing", [1]), folder=tmp_path, categories={"0": "cat"}, tags={"0": ("t",)})
    save_results(run)
    (entry,) = gallery(section(run), Squares(("0",)), None)
    assert [tile.title for tile in entry.tiles] == ["source", "instruction", "truth", "a"]
    assert [tile.run for tile in entry.tiles] == [None, None, None, 0]
    assert all(tile.picture is not None for tile in entry.tiles)
    assert (entry.sample, entry.category, entry.tags, entry.note) == ("0", "cat", ("t",), "")
    assert entry.scores == ({"landing": 1},)


def test_what_has_no_picture_says_why(tmp_path: Path) -> None:
    done = scored_run("done", one_metric("landing", [1]), folder=tmp_path)
    save_results(done)
    failed = scored_run("failed", {}, folder=tmp_path, more=[RunRecord("0", "failed", "boom")])
    gone = scored_run("gone", one_metric("landing", [1]), folder=tmp_path)
    absent = scored_run("absent", {}, folder=tmp_path)
    (entry,) = gallery(section(done, failed, gone, absent), None, None)
    assert [tile.picture is None for tile in entry.tiles] == [False, True, True, True]
    assert entry.tiles[1].note == "failed"
    assert "is missing" in entry.tiles[2].note
    assert entry.tiles[3].note == "not run"
    assert entry.note == "Source and instruction are not shown: the data set is not available."


def test_a_sample_that_the_data_do_not_have_or_cannot_give_shows_results(tmp_path: Path) -> None:
    run = scored_run("a", one_metric("landing", [3, 2, 1]), folder=tmp_path)
    save_results(run)
    entries = list(gallery(section(run), Squares(("1", "2"), broken=("1",)), None))
    assert [len(entry.tiles) for entry in entries] == [1, 1, 4]
    assert "has no such sample" in entries[0].note
    assert "1/operation.png is missing" in entries[1].note


@pytest.mark.parametrize(("digest", "shown"), [("another", False), (from_pixels(shaded(0)).sha256, True), ("", True)])
def test_other_data_than_the_runs_are_not_shown(tmp_path: Path, digest: str, shown: bool) -> None:
    run = scored_run("a", one_metric("landing", [1]), folder=tmp_path, sources={"0": digest})
    (entry,) = gallery(section(run), Squares(("0",)), None)
    assert (len(entry.tiles) == 4) is shown
    assert ("are not those that were edited" in entry.note) is not shown


def test_pictures_are_small_and_keep_their_shape() -> None:
    image = np.zeros((300, 900, 3), np.uint8)
    image[:, 450:] = (200, 100, 50)
    picture = encode(image)
    decoded = Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))
    assert decoded.format == "WEBP"
    assert decoded.size == (picture.width, picture.height) == (SIDE, 85)
    pixels = np.asarray(decoded.convert("RGB")).astype(int)
    assert np.abs(pixels[40, 200] - (200, 100, 50)).max() < 12
    assert encode(image) == picture


def test_small_pictures_are_not_enlarged() -> None:
    assert (encode(shaded(0)).width, encode(shaded(0)).height) == (64, 48)


def test_strips_lie_at_their_values() -> None:
    values = [[0.0, 5.0, 10.0], [], [20.0]]
    plot = strip_plot(["a", "none", "b" * 60], values, [estimate(v) for v in values])
    span = WIDTH - 2 * EDGE
    assert [strip.run for strip in plot.strips] == [0, 2]
    first, second = plot.strips
    assert first.dots.count("M") == 3
    assert first.box == (EDGE + span / 8, EDGE + span / 4, EDGE + span * 3 / 8)
    assert first.value == EDGE + span / 4
    assert first.interval is not None
    assert first.interval[0] < first.value < first.interval[1]
    assert (second.value, second.interval) == (EDGE + span, None)
    assert len(second.label) == 48
    assert second.y > first.y
    assert [text for _, text in plot.ticks] == ["0", "5", "10", "15", "20"]


def test_equal_values_are_drawn_in_the_middle() -> None:
    plot = strip_plot(["a"], [[7.0, 7.0]], [estimate([7.0, 7.0])])
    assert plot.strips[0].value == WIDTH / 2
    assert plot.ticks == ((WIDTH / 2, "7"),)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (27, 100, ["40", "60", "80", "100"]),
        (-3, 14, ["0", "5", "10"]),
        (0, 0.0003, ["0.0000", "0.0001", "0.0002", "0.0003"]),
        (-1, 0.5, ["−1.0", "−0.5", "0.0", "0.5"]),
    ],
)
def test_ticks_are_round(low: float, high: float, texts: list[str]) -> None:
    assert [text for _, text in ticks(low, high)] == texts
    assert all(low - 1e-9 <= place <= high + 1e-9 for place, _ in ticks(low, high))
