"""Zips of strangers: what is no plain file below a folder is refused before anything is unpacked."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from dragflow.core.errors import UserError
from dragflow.files.zips import Bounds, unzipping, zipped

BOUNDS = Bounds(files=4, bytes=100_000)


def entry(name: str, mode: int = stat.S_IFREG | 0o644, packing: int = ZIP_STORED) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, packing
    return info


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as raised, unzipping(path, BOUNDS):
        pass
    return str(raised.value)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    files = {"a.txt": b"one" * 50, "b/c d.png": b"two", "b/é.json": b"{}"}
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(files))
    with unzipping(path, BOUNDS) as found:
        assert {name: found.read(name) for name in found.sizes} == files
        with pytest.raises(UserError, match="has no file other"):
            found.read("other")


@pytest.mark.parametrize(
    ("info", "word"),
    [
        (entry("../evil"), "not the path"),
        (entry("a/../../evil"), "not the path"),
        (entry("/etc/passwd"), "not the path"),
        (entry("C:/evil"), "not the path"),
        (entry("a\\..\\evil"), "not the path"),
        (entry("a//b"), "not the path"),
        (entry("a/"), "not the path"),
        (entry("evil\x1b[2J"), "not the path"),
        (entry("link", stat.S_IFLNK | 0o777), "not a regular file"),
        (entry("pipe", stat.S_IFIFO | 0o644), "not a regular file"),
        (entry("a", packing=ZIP_BZIP2), "packed in a way"),
    ],
)
def test_an_entry_that_is_no_plain_file_is_refused(info: ZipInfo, word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with ZipFile(path, "w") as file:
        file.writestr(info, b"x")
    told = refusal(path)
    assert word in told
    assert "\x1b" not in told


def test_what_is_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb, many = tmp_path / "bomb.zip", tmp_path / "many.zip"
    with ZipFile(bomb, "w", ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1_000_000))
    assert bomb.stat().st_size < 10_000
    assert "when unpacked" in refusal(bomb)
    many.write_bytes(zipped({str(i): b"" for i in range(5)}))
    assert "holds 5 files" in refusal(many)


def test_names_that_some_systems_take_for_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a.txt": b"1", "A.TXT": b"2"}))
    assert "is there twice" in refusal(path)


def test_an_encrypted_or_damaged_zip_is_told(tmp_path: Path) -> None:
    plain = zipped({"a.png": b"something"})
    at = plain.index(b"PK\x01\x02") + 8
    path = tmp_path / "a.zip"
    path.write_bytes(plain[:at] + struct.pack("<H", 1) + plain[at + 2 :])
    assert "is encrypted" in refusal(path)
    path.write_bytes(plain.replace(b"something", b"somethinX"))
    with unzipping(path, BOUNDS) as found, pytest.raises(UserError, match="damaged"):
        found.read("a.png")
    path.write_bytes(plain[:20])
    assert "cannot be read as a zip" in refusal(path)
    assert "does not exist" in refusal(tmp_path / "nothing.zip")


def test_a_zip_that_lies_about_a_size_is_not_unpacked_further(tmp_path: Path) -> None:
    """It says 10 bytes and holds 64 MB: no more than it says is ever in memory."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(64_000_000))
    data = buffer.getvalue()
    path = tmp_path / "a.zip"
    path.write_bytes(data.replace(struct.pack("<L", 64_000_000), struct.pack("<L", 10)))
    tracemalloc.start()
    with unzipping(path, BOUNDS) as found, pytest.raises(UserError, match="damaged"):
        found.read("zeros")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"x" * 5000: b""}))
    assert "a directory of too many files" in refusal(path)
    path.write_bytes(zipped({"a": b""})[:-22] + b"PK\x06\x07" + bytes(16) + zipped({"a": b""})[-22:])
    assert "over 4 GiB" in refusal(path)


def test_a_zip_in_memory_is_called_by_its_name() -> None:
    with unzipping(io.BytesIO(zipped({"a": b"1"})), BOUNDS, "what was sent") as found:
        assert found.read("a") == b"1"
        with pytest.raises(UserError, match="what was sent has no file b"):
            found.read("b")
