"""`dragflow batch` as a person uses it: run, kill, resume; what fails is told, and what is left is the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batch_makers import OPTIONS, desk, manifest, sample

_MAIN = "from dragflow.cli.app import main; main()"
LINES = [{"image": f"a{i % 3}.png", "instruction": "move.json", "seed": i} for i in range(9)]


def asked(folder: Path, count: int = 9) -> Path:
    return manifest(desk(folder, 3), *LINES[:count])


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def started(path: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, "batch", str(path), "-o", str(out), *OPTIONS, "--json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def lines_of(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_all_done_is_zero_and_some_failed_is_one(run: Any, tmp_path: Path) -> None:
    folder, out = desk(tmp_path / "in"), tmp_path / "out"
    path = manifest(folder, LINES[0], LINES[0])
    done = run("batch", path, "-o", out, *OPTIONS)
    assert (done.code, done.out) == (0, f"{out}: 1 done, 0 failed\n"), done.err
    assert "line 2 repeats line 1: done once" in done.err
    manifest(folder, LINES[0], {"image": "gone.png", "instruction": "move.json"})
    done = run("batch", path, "-o", out, *OPTIONS, "--json")
    assert done.code == 1
    assert [event["status"] for event in done.events] == ["failed"]
    assert "failed: line 2: " in done.err
    assert "gone.png does not exist" in done.err
    page = (out / "index.html").read_text()
    assert "1 done, 1 failed" in page


@pytest.mark.parametrize(
    ("lines", "options", "words"),
    [
        ([], (), "asks for nothing"),
        ([LINES[0]], ("--set", "no.key=1"), "no.key is not a known key"),
        ([LINES[0]], ("--processes", "2", "--devices", "a", "--devices", "b"), "name one or the other"),
        ([LINES[0]], ("--root", "ROOT"), ""),
        ([LINES[0]], ("--root", "nowhere"), "--root is nowhere, which is not a folder"),
    ],
)
def test_what_is_wrong_with_the_command_is_told_before_work(
    lines: list[Any], options: tuple[str, ...], words: str, run: Any, tmp_path: Path
) -> None:
    path = manifest(desk(tmp_path / "in"), *lines)
    given = [str(tmp_path) if option == "ROOT" else option for option in options]
    done = run("batch", path, "-o", tmp_path / "out", *OPTIONS, *given)
    assert (done.code, words in done.err) == (2 if words else 0, True), done.err
    assert run("batch", tmp_path / "gone.jsonl", "-o", tmp_path / "other", *OPTIONS).code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["here", "two processes"])
def test_a_killed_batch_is_resumed_with_the_same_bytes(more: tuple[str, ...], run: Any, tmp_path: Path) -> None:
    path, out = asked(tmp_path / "in"), tmp_path / "out"
    process = started(path, out, *more)
    before = lines_of(process, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stamps = {record["output"]: (out / record["output"]).stat().st_mtime_ns for record in before}
    done = run("batch", path, "-o", out, *OPTIONS, *more)
    assert done.code == 0, done.err
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    assert len({record["item"] for record in records}) == len(records) == 9
    assert run("batch", path, "-o", tmp_path / "whole", *OPTIONS).code == 0
    assert results(out) == results(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["here", "two processes"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_ctrl_c_ends_it_and_says_how_to_go_on(sent: signal.Signals, more: tuple[str, ...], tmp_path: Path) -> None:
    path, out = asked(tmp_path / "in"), tmp_path / "out"
    process = started(path, out, *more)
    try:
        lines_of(process, 2)
        process.send_signal(sent)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, told
    assert "waiting; the same command resumes" in told
    assert "waiting" in (out / "index.html").read_text()
    assert not list(out.glob("*.part"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_a_hot_folder_is_edited_as_it_fills(tmp_path: Path) -> None:
    hot, out = tmp_path / "hot", tmp_path / "out"
    sample(hot / "one")
    process = started(hot, out, "--watch")
    try:
        assert [record["place"] for record in lines_of(process, 1)] == ["one"]
        sample(hot / "two", 1)
        assert [record["place"] for record in lines_of(process, 1)] == ["two"]
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out_text, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, out_text) == (130, "")
    assert "2 done, 0 failed; the same command resumes" in told
    assert "2 done" in (out / "index.html").read_text()
