"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragflow.core.errors import UserError
from dragflow.files.atomic import check_writable, write_bytes, write_text


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


@pytest.mark.parametrize("name", ["picture.png", "link.png", "hard.png", "."])
def test_the_input_is_no_output(name: str, tmp_path: Path) -> None:
    source = tmp_path / "picture.png"
    source.touch()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    with pytest.raises(UserError):
        check_writable(tmp_path / name, inputs=[source])
    check_writable(tmp_path / "other.png", inputs=[source])
