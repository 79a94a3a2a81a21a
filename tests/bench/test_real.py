"""A study of a small model on samples of the published data sets: its table, resuming it, and checking its archive."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from data_makers import picture, redbench, save, vfd
from dragflow.bench import run as running
from dragflow.bench.folder import write_scores
from dragflow.bench.methods import run_with_model
from dragflow.bench.metrics.suite import Suite
from dragflow.bench.real.outputs import write_outputs
from dragflow.bench.real.study import circumstances, data_folders, parts, scored_runs
from dragflow.bench.real.table import table
from dragflow.bench.runs import read_records, read_scored
from dragflow.bench.score import score
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files.zips import zipped
from dragflow.service.executors import InProcess

QUICK = """
[inversion]
steps = 2
skip = 1
[optimise]
moving = 0
refining = 1
"""


@dataclass(frozen=True)
class Desk:
    """Data sets of a few small samples, and a quick preset."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def archive(self) -> Path:
        return self.out / "archive.zip"

    def data(self, *names: str) -> list[Path]:
        return [self.folder / name for name in names or ("vfd", "red")]

    def arguments(self, *names: str) -> list[Any]:
        return [*self.data(*names), "--model", "dummy", "--preset", self.folder / "quick.toml", "-o", self.out]


def make_desk(folder: Path) -> Desk:
    for seed, name in enumerate(("cat", "dog")):
        save(redbench(folder / "red" / name) / "original_image.png", picture(seed))
    vfd(folder / "vfd" / "deer")
    (folder / "quick.toml").write_text(QUICK)
    return Desk(folder)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.delenv("DRAGFLOW_DIFT", raising=False)
    monkeypatch.setattr("dragflow.bench.metrics.suite.find_weights", _no_weights)
    return make_desk(tmp_path)


def _no_weights(path: Path | None) -> Path:
    raise UserError("no weights of LPIPS")


def rezip(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Another archive beside it, with its files changed."""
    with ZipFile(path) as file:
        files = {name: file.read(name) for name in file.namelist()}
    change(files)
    other = path.with_name("other.zip")
    other.write_bytes(zipped(files))
    return other


def test_a_study_is_one_table_one_page_and_an_archive_that_can_be_checked(run: Any, desk: Desk) -> None:
    done = run("bench", "real", *desk.arguments())
    assert done.code == 0, done.err
    table = (desk.out / "table.md").read_text()
    for line in (
        "| ReD Bench | **dragflow quick** | this machine | not measured |",
        "| ReD Bench | DragFlow | arXiv 2510.02253v3 Table 2 | 0.992 | 0.958 | 0.934 | 19.46 | 4.48 |",
        "| VFD-Bench | **preview** | this machine |",
        "- MD1, MD2, MD, m-MD, MD_rd: DIFT is not on this machine",
        "- IF_bg, IF_s2t, IF_s2s, LPIPS_area, LPIPS_vacated: no weights of LPIPS",
        "- DragBench: its folder was not given",
        "- VFD-Bench: the paper has no figures for it",
    ):
        assert line in table
    page = (desk.out / "report.html").read_text()
    assert ("DIFT is not on this machine" in page, "DragBench: its folder was not given" in page) == (True, True)
    with ZipFile(desk.archive) as file:
        assert not [name for name in file.namelist() if name.endswith((".png", ".jpg"))]
        assert b"data:image" not in file.read("report.html")
        assert b"are not in here" in file.read("README.txt")

    checked = run("bench", "check", desk.archive, *desk.data())
    assert (checked.code, "nothing differs" in checked.out) == (0, True), checked.err
    assert "no pictures to measure again" in checked.err
    save(desk.folder / "red" / "cat" / "original_image.png", picture(9))
    running.data_set.cache_clear()
    checked = run("bench", "check", desk.archive, desk.folder / "red")
    assert (checked.code, "sample cat is another one" in checked.err) == (1, True), checked.err
    assert "no folder of VFD-Bench is given" in checked.err


def test_a_study_that_was_stopped_is_resumed(run: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def stopping(*arguments: Any) -> Any:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(arguments[-1].id)
        return run_with_model(*arguments)

    monkeypatch.setattr(running, "run_with_model", stopping)
    assert run("bench", "real", *desk.arguments("red")).code == 130
    assert not desk.archive.exists()
    folder = desk.out / "runs" / "red-bench-dragflow-quick"
    first = (folder / "pictures" / "cat.png").stat().st_mtime_ns
    monkeypatch.setattr(running, "run_with_model", run_with_model)
    assert run("bench", "real", *desk.arguments("red")).code == 0
    assert [record.sample for record in read_records(folder)] == ["cat", "dog"]
    assert (folder / "pictures" / "cat.png").stat().st_mtime_ns == first
    before, scored = desk.archive.read_bytes(), (folder / "scores.jsonl").stat().st_mtime_ns
    assert run("bench", "real", *desk.arguments("red")).code == 0
    assert desk.archive.read_bytes() == before
    assert (folder / "scores.jsonl").stat().st_mtime_ns == scored  # nothing was measured again


def test_what_was_changed_in_an_archive_is_told(run: Any, small_archive: Path) -> None:
    red = small_archive.parents[1] / "red"
    scores, png = "runs/red-bench-preview/scores.jsonl", "runs/red-bench-preview/pictures/cat.png"
    same = run("bench", "check", small_archive, red)
    assert (same.code, "nothing differs" in same.out, "not checked" in same.err) == (0, True, False), same.err

    def better(files: dict[str, bytes]) -> None:
        files["table.md"] = files["table.md"].replace(b"0.992", b"0.999")
        files[png] = files[png.replace("cat", "dog")]
        del files["README.txt"]

    told = run("bench", "check", rezip(small_archive, better))
    assert told.code == 1
    for line in (
        "table.md: it is not the file that SHA256SUMS",
        "table.md is not what the scores give",
        f"{png}: it is not the file",
        "the picture of cat is not the one that was recorded",
        "README.txt: it has a digest, and is not there",
    ):
        assert line in told.err

    def score_changed(files: dict[str, bytes]) -> None:
        files[scores] = files[scores].replace(b'"DAI_1":', b'"DAI_1":9')

    damaged = run("bench", "check", rezip(small_archive, score_changed))
    assert (damaged.code, "was changed since it was written" in damaged.err) == (2, True), damaged.err


def test_scores_that_its_pictures_do_not_get_are_told(run: Any, small_archive: Path, tmp_path: Path) -> None:
    out = shutil.copytree(small_archive.parent, tmp_path / "out")
    study = parts([str(small_archive.parents[1] / "red")], [], ModelOptions("dummy"), out)
    scored = read_scored(study[0].folder)
    better = [replace(one, values=one.values | {"DAI_1": 7.0}) for one in scored.scores]
    write_scores(study[0].folder, scored.tools, better)
    write_outputs(out, circumstances(study, None), pictures=True)
    told = run("bench", "check", out / "archive.zip", study[0].plan.data)
    assert (told.code, "DAI_1 of cat is 7 there" in told.err) == (1, True), told.err


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("../evil.png", b"x", "is not the path of a file"),
        ("evil.py", b"x", "which no archive of this kind has"),
        ("runs/red-bench-preview/evil.sh", b"x", "which no archive of this kind has"),
        ("runs/red-bench-preview/pictures/../../../evil.png", b"x", "is not the path of a file"),
        ("runs/red-bench-other/run.json", b"{}", "does not name: red-bench-other"),
        ("study.json", b'{"dragflow": 1}', "study.json: "),
        ("runs/red-bench-preview/records.jsonl", b'{"sample": "../x", "status": "done"}\n', "not the name of a sample"),
    ],
)  # fmt: skip
def test_a_hostile_archive_is_refused(name: str, data: bytes, word: str, run: Any, small_archive: Path) -> None:
    told = run("bench", "check", rezip(small_archive, lambda files: files.update({name: data})))
    assert (told.code, word in told.err) == (2, True), told.err


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a study without a model, with its pictures."""
    desk = make_desk(tmp_path_factory.mktemp("study"))
    study = parts([str(desk.folder / "red")], [], ModelOptions("dummy"), desk.out)
    for part in study:
        part.folder.parent.mkdir(parents=True)
        assert len(list(running.run(part.plan, part.ids, part.folder, InProcess()))) == 2
        samples = running.data_set(part.plan.data, None)
        suite = Suite()
        write_scores(part.folder, suite.tools(), list(score(part.folder, samples, suite)))
    write_outputs(desk.out, circumstances(study, None), pictures=True)
    return desk.archive


def test_what_was_measured_stands_beside_what_was_published(small_archive: Path) -> None:
    out = small_archive.parent
    told = circumstances(parts([str(out.parent / "red")], [], ModelOptions("dummy"), out), 1)
    (scored,) = scored_runs(out, told.runs)
    values = {"IF_bg": 0.98765, "MD1": 12.3456}
    write_scores(scored.folder, replace(scored.tools, absent={}), [replace(scored.scores[0], values=values)])
    (changed,) = scored_runs(out, told.runs)
    write_scores(scored.folder, scored.tools, scored.scores)
    text = table([changed], told)
    assert "| ReD Bench | **preview** | this machine | 0.988 | not measured | not measured | 12.35 |" in text
    assert "| 1 of 2 |" in text
    assert "only the first 1 samples of each were run" in text


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ((), "no data set is given"),
        (("red", "more"), "both hold ReD Bench"),
        (("mixed",), "holds ReD Bench, VFD-Bench"),
        (("nowhere",), "does not exist"),
    ],
)
def test_each_folder_holds_one_data_set(names: tuple[str, ...], word: str, desk: Desk) -> None:
    redbench(desk.folder / "more" / "cow")
    redbench(desk.folder / "mixed" / "cow")
    vfd(desk.folder / "mixed" / "deer")
    with pytest.raises(UserError, match=word):
        data_folders([str(desk.folder / name) for name in names])


@pytest.mark.slow
def test_a_small_flux_on_samples_of_the_data_sets(
    run: Any, dummy_folder: Path, samples_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "quick.toml").write_text(QUICK)
    data = [samples_dir / name for name in ("red_bench", "dragbench", "vfd")]
    options = ["--model", dummy_folder, "--preset", tmp_path / "quick.toml", "--limit", 1, "-o", tmp_path / "out"]
    done = run("bench", "real", *data, *options)
    assert done.code == 0, done.err
    assert done.out.count("1 done, 0 failed") == 6
    checked = run("bench", "check", tmp_path / "out" / "archive.zip", *data)
    assert (checked.code, "nothing differs" in checked.out) == (0, True), checked.err
