"""Zip files whose bytes follow from what is in them, and reading those of strangers: nothing in them is trusted."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from dragflow.core.errors import UserError
from dragflow.core.text import one_line

_PACKED = (".png", ".ora")
"""Files that another packing would not make smaller."""
_ENCRYPTED = 0x1
"""Bit of the flags of an entry."""
_END = struct.Struct("<12xLLH")
"""Of the last record of a zip (APPNOTE 4.3.16): bytes of the directory, its place, bytes of the comment behind."""
_SIGNATURE = b"PK\x05\x06"
"""With which that record begins."""
_LAST_BYTES = _END.size + 0xFFFF
"""In which that record is, as long as a comment may be."""
_LARGER = b"PK\x06\x07", 20
"""What stands so many bytes before that record in a zip of over 4 GiB or 65,535 files."""
_LONGEST_ENTRY = 1024
"""Bytes of a file in the directory."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)
"""What the standard library raises of a damaged zip; one that it cannot unpack is a RuntimeError."""
_PART = re.compile(r"[^\x00-\x1f\x7f\\:<>\"|?*]+")
"""Part of a path that names a file on every system."""


def zipped(files: Mapping[str, bytes], *, stored: tuple[str, ...] = ()) -> bytes:
    """The bytes of a zip with these files, by their paths in it and in their order.

    Args:
        files: what is in it.
        stored: paths that must not be packed, as some formats ask.
    """
    buffer = io.BytesIO()
    zip_to(buffer, files.items(), stored=stored)
    return buffer.getvalue()


def zip_to(out: IO[bytes], files: Iterable[tuple[str, bytes]], *, stored: tuple[str, ...] = ()) -> None:
    """Write a zip, one file after the other; see `zipped`."""
    with ZipFile(out, "w") as file:
        for path, data in files:
            info = ZipInfo(path)  # of the first day that a zip knows
            info.external_attr = 0o644 << 16
            plain = path in stored or path.endswith(_PACKED)
            file.writestr(info, data, ZIP_STORED if plain else ZIP_DEFLATED)


@dataclass(frozen=True)
class Bounds:
    """What a zip may hold at most."""

    files: int
    bytes: int
    """Of all files, unpacked."""


@dataclass(frozen=True)
class Unzipped:
    """A zip that was checked, open for reading."""

    path: Path
    """Where it is, or what it is called where it has no path."""
    sizes: Mapping[str, int]
    """Bytes of every file by its path, in the order of the zip."""
    _file: ZipFile

    def read(self, name: str) -> bytes:
        """One file.

        Raises:
            UserError: it is not there, is damaged, or has another size than the zip says.
        """
        if name not in self.sizes:
            raise UserError(f"{self.path} has no file {name}: it is not complete")
        try:
            with self._file.open(name) as file:
                # Not all of it: the standard library would first unpack what is there, however large that is.
                content = file.read(self.sizes[name] + 1)
        except _DAMAGE as error:
            raise UserError(f"{self.path}: {name} is damaged ({error}): get the file again") from error
        if len(content) != self.sizes[name]:
            raise UserError(f"{self.path}: {name} is damaged (it is cut short): get the file again")
        return content


@contextmanager
def unzipping(source: Path | IO[bytes], bounds: Bounds, name: str = "") -> Iterator[Unzipped]:
    """Open a zip of unknown origin; all of its directory is checked before anything is unpacked.

    Args:
        source: its path, or the zip itself.
        bounds: what it may hold.
        name: of the zip, for errors, where it has no path.

    Raises:
        UserError: no zip, more or larger files than the bounds, or an entry that is encrypted, packed in an unusual
            way, no regular file, twice there, or whose path could lead anywhere but to a place below a folder.
    """
    name = name or str(source)
    try:
        _check_directory(source, name, bounds)
        file = ZipFile(source)
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist: check its name") from error
    except _DAMAGE as error:
        raise UserError(f"{name} cannot be read as a zip ({one_line(str(error))}): get the file again") from error
    with file:
        yield Unzipped(Path(name), _sizes(name, file.infolist(), bounds), file)


def _check_directory(source: Path | IO[bytes], name: str, bounds: Bounds) -> None:
    """Refuse a directory so large that reading it alone would fill the memory."""
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(max(0, length - _LAST_BYTES))
        last = file.read(_LAST_BYTES)
    plain = len(last) - _END.size  # where it is without a comment, and where the standard library looks first
    at = plain if last.startswith(_SIGNATURE, plain) and last.endswith(b"\0\0") else last.rfind(_SIGNATURE)
    if 0 <= at <= len(last) - _END.size and _END.unpack_from(last, at)[0] > _LONGEST_ENTRY * bounds.files:
        raise UserError(f"{name} holds a directory of too many files: at most {bounds.files} are read")
    larger = at >= _LARGER[1] and last.startswith(_LARGER[0], at - _LARGER[1])
    if larger and bounds.bytes < 2**32:  # its directory is described elsewhere
        raise UserError(f"{name} is a zip of over 4 GiB, or says so: it is not read")


def _sizes(name: str, entries: list[ZipInfo], bounds: Bounds) -> dict[str, int]:
    if len(entries) > bounds.files:
        raise UserError(f"{name} holds {len(entries)} files: at most {bounds.files} are read")
    total = sum(entry.file_size for entry in entries)
    if total > bounds.bytes:
        raise UserError(f"{name} holds {total} bytes when unpacked: at most {bounds.bytes} are read")
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    for entry in entries:
        if problem := _problem(entry) or ("is there twice" if entry.filename.casefold() in seen else ""):
            raise UserError(f"{name}: {one_line(repr(entry.filename)[:120])} {problem}: the file is refused")
        seen.add(entry.filename.casefold())  # two names that some systems take for one
        sizes[entry.filename] = entry.file_size
    return sizes


def _problem(entry: ZipInfo) -> str:
    """Why an entry is refused; "" if it is not."""
    name, mode = entry.orig_filename, entry.external_attr >> 16
    parts = name.split("/")
    if any(part in (".", "..") or not _PART.fullmatch(part) or part.endswith((".", " ")) for part in parts):
        return "is not the path of a file inside a folder"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is not a regular file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is packed in a way that is not read"
    return ""
