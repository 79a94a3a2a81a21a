"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dragflow.core.errors import UserError
from dragflow.files.atomic import discard_parts, write_bytes, write_files, write_text
from dragflow.files.outputs import check_writable


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").touch()
    with pytest.raises(UserError, match="folder"):
        write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(UserError, match="none"):
        write_bytes(tmp_path / "none" / "a", b"x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "full"]


def test_files_that_belong_together_are_written_together(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_files({folder / "a": b"1", folder / "b": b"2", tmp_path / "c": b"3"}, folder)
    assert [path.read_bytes() for path in (folder / "a", folder / "b", tmp_path / "c")] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("last", ["folder", "none/a", "x" * 300])
def test_one_that_cannot_be_written_takes_the_others_with_it(last: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").write_bytes(b"old")
    made = tmp_path / "made"
    with pytest.raises(UserError, match="cannot be written"):
        write_files({made / "a": b"1", tmp_path / "b": b"2", tmp_path / last: b"3"}, made)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "old"]


@pytest.mark.parametrize("step", ["open", "replace"])
def test_an_interrupt_leaves_nothing_half_written(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    usual = getattr(Path, step)

    def interrupted(self: Path, *args: Any) -> Any:
        calls.append(self)
        done = usual(self, *args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Path, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / name: b"x" for name in "abc"})
    assert not list(tmp_path.iterdir())


def test_a_process_that_ends_at_once_removes_what_it_was_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    def terminated(self: Path, target: Path) -> None:
        found.append(len(list(tmp_path.iterdir())))
        discard_parts()
        found.append(len(list(tmp_path.iterdir())))
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", terminated)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"x")
    assert found == [1, 0]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="is a device or a pipe"):
        write_bytes(pipe, b"x")
    with pytest.raises(UserError, match="is a device or a pipe"):
        check_writable(pipe)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert pipe.is_fifo()
