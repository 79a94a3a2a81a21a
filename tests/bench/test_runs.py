"""The folder of a run: what is read is what was written, and nothing is lost when a process is killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dragflow.bench import runs
from dragflow.bench.runs import RunHeader, RunRecord, SampleScores, Tools
from dragflow.core.config import EditConfig, KVConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions, WeightsId

MODEL = WeightsId(ModelOptions("nano", dtype="float32"), "0123456789abcdef")
HEADER = RunHeader("world:3", "world", "disc", "dragflow", "ours", EditConfig(), MODEL, {"torch": "2"})
A = RunRecord("a/1", "done", "", 0.5, 1.25, 40, 812.5, "aa", "bb")
B = RunRecord("b", "failed", "RuntimeError: no\nmemory \u00e9")


def write(folder: Path, *records: RunRecord) -> None:
    with runs.opened(folder, HEADER):
        for record in records:
            runs.add_record(folder, record)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "run", A, B)
    assert runs.read_header(tmp_path / "run") == HEADER
    assert runs.read_records(tmp_path / "run") == (A, B)
    tools = Tools("", "taps of nano", {"IF_bg": "no weights"})
    scores = SampleScores("a/1", "cats", ("shadow",), "bb", {"MD1": 2.5, "outside": 1.0})
    runs.write_scores(tmp_path / "run", tools, [scores])
    found = runs.read_scored(tmp_path / "run")
    assert (found.header, found.records, found.tools, found.scores) == (HEADER, (A, B), tools, (scores,))
    assert found.picture("a/1") == tmp_path / "run" / "pictures" / "a" / "1.png"


def test_of_two_records_of_one_sample_the_last_counts(tmp_path: Path) -> None:
    again = RunRecord("b", "done")
    write(tmp_path / "run", B, A, again)
    assert runs.read_records(tmp_path / "run") == (again, A)


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    log = tmp_path / "run" / runs.RECORDS
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    write(tmp_path / "run", B)
    assert runs.read_records(tmp_path / "run") == (A, B)


def test_another_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    other = RunHeader("world:3", "world", "disc", "dragflow", "ours", EditConfig(kv=KVConfig("none")), MODEL, {})
    with pytest.raises(UserError, match=r"config, versions differ"), runs.opened(tmp_path / "run", other):
        pass
    assert runs.read_header(tmp_path / "run") == HEADER


def test_a_run_from_before_there_were_adapters_goes_on(tmp_path: Path) -> None:
    """Its header names no adapter, and a strength that had no effect."""
    write(tmp_path / "run", A)
    file = tmp_path / "run" / runs.HEADER
    data = json.loads(file.read_text())
    del data["subject"]
    data["config"]["subject"]["scale"] = 1.5
    file.write_text(json.dumps(data))
    assert runs.read_header(tmp_path / "run").subject is None
    write(tmp_path / "run", B)
    assert runs.read_records(tmp_path / "run") == (A, B)


def test_runs_with_an_adapter_are_told_apart_by_its_settings(tmp_path: Path) -> None:
    record = SubjectId(SubjectOptions("ip-adapter", "a.safetensors"), "ff" * 8)
    here, stronger, other = (
        replace(HEADER, subject=record),
        replace(HEADER, subject=record, config=EditConfig(subject=SubjectConfig(scale=1.0))),
        replace(HEADER, subject=replace(record, fingerprint="00" * 8)),
    )
    with runs.opened(tmp_path / "run", here):
        pass
    assert runs.read_header(tmp_path / "run") == here
    for changed, word in ((stronger, "config"), (other, "subject")):
        with pytest.raises(UserError, match=rf"\({word} differ\)"), runs.opened(tmp_path / "run", changed):
            pass


def test_two_processes_cannot_write_to_one_run(tmp_path: Path) -> None:
    with (
        runs.opened(tmp_path / "run", HEADER),
        pytest.raises(UserError, match="another process"),
        runs.opened(tmp_path / "run", HEADER),
    ):
        pass
    with runs.opened(tmp_path / "run", HEADER):  # free again
        pass


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty"), runs.opened(tmp_path / "run", HEADER):
        pass
    assert (tmp_path / "run" / "letter.txt").read_text() == "dear"


def test_folders_above_are_made_and_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "today" / "run", A)
    assert runs.read_records(tmp_path / "runs" / "today" / "run") == (A,)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="cannot be made"), runs.opened(place, HEADER):
            pass


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "not JSON"),
        ('{"sample": "a"}', "status is missing"),
        ('{"sample": "a", "status": "perhaps"}', "status"),
        ('{"sample": "a", "status": "done", "mood": 3}', "mood is not a known key"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, word: str, tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    with (tmp_path / "run" / runs.RECORDS).open("a") as log:
        log.write(line + "\n")
    with pytest.raises(UserError, match=rf"records.jsonl line 2.*{word}"):
        runs.read_records(tmp_path / "run")


def test_no_run_and_no_scores_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dragflow bench run"):
        runs.read_header(tmp_path)
    write(tmp_path / "run", A)
    with pytest.raises(UserError, match="dragflow bench score"):
        runs.read_scored(tmp_path / "run")
