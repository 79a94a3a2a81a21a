"""The folder of a run: what is read is what was written, and nothing is lost when a process is killed."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragflow.bench import folder, runs
from dragflow.bench.runs import RunHeader, RunRecord, SampleScores, Tools
from dragflow.core.config import EditConfig, KVConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectId, SubjectOptions, WeightsId

MODEL = WeightsId(ModelOptions("nano", dtype="float32"), "0123456789abcdef")
HEADER = RunHeader("world:3", "world", "disc", "dragflow", "ours", EditConfig(), MODEL, {"torch": "2"})
A = RunRecord("a/1", "done", "", 0.5, 1.25, 40, 812.5, "aa", "bb")
B = RunRecord("b", "failed", "RuntimeError: no\nmemory \u00e9")


def write(out: Path, *records: RunRecord) -> None:
    with folder.opened(out, HEADER):
        for record in records:
            folder.add_record(out, record)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "run", A, B)
    assert runs.read_header(tmp_path / "run") == HEADER
    assert runs.read_records(tmp_path / "run") == (A, B)
    tools = Tools("", "taps of nano", {"IF_bg": "no weights"})
    scores = SampleScores("a/1", "cats", ("shadow",), "bb", {"MD1": 2.5, "outside": 1.0})
    folder.write_scores(tmp_path / "run", tools, [scores])
    found = runs.read_scored(tmp_path / "run")
    signed = replace(tools, scores_sha256=found.tools.scores_sha256)
    assert (found.header, found.records, found.tools, found.scores) == (HEADER, (A, B), signed, (scores,))
    assert found.tools.scores_sha256
    assert runs.picture_path(tmp_path / "run", "a/1") == tmp_path / "run" / "pictures" / "a" / "1.png"


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
    told = r"config\.kv\.rule is 'in-place' there, 'none' here; versions\.torch is '2' there"
    with pytest.raises(UserError, match=told), folder.opened(tmp_path / "run", other):
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
    with folder.opened(tmp_path / "run", here):
        pass
    assert runs.read_header(tmp_path / "run") == here
    for changed, word in ((stronger, "config.subject.scale"), (other, "subject.fingerprint")):
        with pytest.raises(UserError, match=rf"\({word} is"), folder.opened(tmp_path / "run", changed):
            pass


def test_two_processes_cannot_write_to_one_run(tmp_path: Path) -> None:
    with (
        folder.opened(tmp_path / "run", HEADER),
        pytest.raises(UserError, match="another process"),
        folder.opened(tmp_path / "run", HEADER),
    ):
        pass
    with folder.opened(tmp_path / "run", HEADER):  # free again
        pass


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty"), folder.opened(tmp_path / "run", HEADER):
        pass
    assert (tmp_path / "run" / "letter.txt").read_text() == "dear"


def test_folders_above_are_made_and_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "today" / "run", A)
    assert runs.read_records(tmp_path / "runs" / "today" / "run") == (A,)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="cannot be made"), folder.opened(place, HEADER):
            pass


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"sample": "a"}', "status is missing"),
        (b'{"sample": "a", "status": "perhaps"}', "status"),
        (b'{"sample": "a", "status": "done", "mood": 3}', "mood is not a known key"),
        (b'{"sample": "a", "status": "done", "calls": "many"}', "calls"),
        (b'{"sample": "../../x", "status": "done"}', "not the name of a sample"),
        (b'{"sample": "/etc/x", "status": "done"}', "not the name of a sample"),
        (b'{"sample": "a\\u0000", "status": "done"}', "not the name of a sample"),
        (b"[" * 100_000, "nested"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "an object"),
    ],
)
def test_a_line_that_is_no_record_is_named_with_what_to_do(line: bytes, word: str, tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    with (tmp_path / "run" / runs.RECORDS).open("ab") as log:
        log.write(line + b"\n")
    with pytest.raises(UserError, match=rf"records.jsonl line 2.*{word}.*delete this line") as raised:
        runs.read_records(tmp_path / "run")
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "not JSON"), (b"\0" * 100, "not JSON"), (b"\xff", "UTF-8"), (b"[]", "object"), (b'{"data": 3}', "data")],
)
def test_a_header_that_is_garbage_is_named_with_what_to_do(content: bytes, word: str, tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    (tmp_path / "run" / runs.HEADER).write_bytes(content)
    with pytest.raises(UserError, match=rf"run\.json.*{word}.*name a new folder") as raised:
        write(tmp_path / "run", B)
    assert len(str(raised.value)) < 600
    assert (tmp_path / "run" / runs.HEADER).read_bytes() == content


def test_an_error_with_any_separator_of_lines_is_one_record(tmp_path: Path) -> None:
    odd = replace(B, error="one\u2028two\x85three\x0bfour\x1cfive")
    write(tmp_path / "run", odd, A)
    assert runs.read_records(tmp_path / "run") == (odd, A)


def test_the_folder_of_another_version_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    file = tmp_path / "run" / runs.HEADER
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"mood": 3, "versions": {"dragflow": "9.0"}}))
    with pytest.raises(UserError, match=r"made by dragflow 9\.0 and cannot be read by .*: use 9\.0, or name a new"):
        runs.read_header(tmp_path / "run")
    file.write_text(json.dumps(data | {"versions": {"dragflow": "9.0"}}))
    (tmp_path / "run" / runs.RECORDS).write_text('{"sample": "a", "status": "doubtful"}\n')
    with pytest.raises(UserError, match=r"use 9\.0"):
        runs.read_records(tmp_path / "run")


def test_no_link_leads_out_of_a_run(tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (tmp_path / "run" / runs.PICTURES).mkdir()
    (tmp_path / "run" / runs.PICTURES / "a").symlink_to(elsewhere)
    with pytest.raises(UserError, match="leads out of the folder"):
        folder.save_picture(tmp_path / "run", "a/1", np.zeros((32, 32, 3), np.uint8))
    log = tmp_path / "run" / runs.RECORDS
    log.rename(elsewhere / "log")
    log.symlink_to(elsewhere / "log")
    before = (elsewhere / "log").read_bytes()
    with pytest.raises(UserError, match="leads out of the folder"):
        write(tmp_path / "run", B)
    with pytest.raises(UserError, match="leads out of the folder"):
        runs.read_records(tmp_path / "run")
    assert (elsewhere / "log").read_bytes() == before
    assert {path.name for path in elsewhere.iterdir()} == {"deep", "log"}


def test_a_run_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    write(tmp_path / "run", A)
    folder.save_picture(tmp_path / "run", "a/1", np.zeros((32, 32, 3), np.uint8))
    assert runs.read_records(tmp_path / "disk") == (A,)


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / runs.PICTURES / "a").mkdir(parents=True)
    (out / runs.PICTURES / "a" / ".1.png.x7.part").write_bytes(b"half")
    (out / runs.PICTURES / "a" / "1.png").write_bytes(b"whole")
    for path in (out / runs.PICTURES, out / ".run.json.x7.part"):
        path.rename(tmp_path / path.name) if path.exists() else None
    (out / ".run.json.x7.part").write_bytes(b"{")  # it was killed before there was a header
    write(out, A)
    (tmp_path / runs.PICTURES).rename(out / runs.PICTURES)
    write(out, B)
    assert [path.name for path in (out / runs.PICTURES / "a").iterdir()] == ["1.png"]


def test_half_a_line_does_not_keep_a_run_from_being_read(tmp_path: Path) -> None:
    write(tmp_path / "run", A, B)
    log = tmp_path / "run" / runs.RECORDS
    log.write_bytes(log.read_bytes()[:-5])
    assert runs.read_records(tmp_path / "run") == (A,)


def test_scores_and_what_they_were_measured_with_belong_together(tmp_path: Path) -> None:
    """A process that was killed between the two leaves the scores of one scoring and the tools of another."""
    write(tmp_path / "run", A)
    scores = SampleScores("a/1", "", (), "bb", {"MD1": 2.5})
    folder.write_scores(tmp_path / "run", Tools("", "dift"), [scores])
    old = (tmp_path / "run" / runs.TOOLS).read_bytes()
    folder.write_scores(tmp_path / "run", Tools("", "taps of nano"), [replace(scores, values={"MD1": 9.0})])
    (tmp_path / "run" / runs.TOOLS).write_bytes(old)
    with pytest.raises(UserError, match=r"scores\.jsonl was changed.*dragflow bench score"):
        runs.read_scored(tmp_path / "run")


@pytest.mark.parametrize("name", [runs.TOOLS, runs.SCORES])
def test_scores_that_are_garbage_are_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    write(tmp_path / "run", A)
    folder.write_scores(tmp_path / "run", Tools("", ""), [SampleScores("a/1", "", (), "bb", {})])
    (tmp_path / "run" / name).write_bytes(b"garbage\n")
    with pytest.raises(UserError, match=rf"{name}.*not JSON.*dragflow bench score .*run"):
        runs.read_scored(tmp_path / "run")


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with folder.opened(tmp_path / "run", HEADER):
        folder.add_record(tmp_path / "run", A)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"records\.jsonl cannot be written \(No space left.*resumes"):
            folder.add_record(tmp_path / "run", B)


def test_no_run_and_no_scores_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dragflow bench run"):
        runs.read_header(tmp_path)
    write(tmp_path / "run", A)
    with pytest.raises(UserError, match="dragflow bench score"):
        runs.read_scored(tmp_path / "run")
