"""Zip files whose bytes follow from what is in them, and reading those of strangers: nothing in them is trusted."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
    sizes: Mapping[str, int]
    """Bytes of every file by its path, in the order of the zip."""
    _file: ZipFile

    def read(self, name: str) -> bytes:
        """One file.

        Raises:
            UserError: it is not there, or is damaged.
        """
        if name not in self.sizes:
            raise UserError(f"{self.path} has no file {name}: it is not complete")
        try:
            return self._file.read(name)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error) as error:
            raise UserError(f"{self.path}: {name} is damaged ({error}): get the file again") from error


@contextmanager
def unzipping(path: Path, bounds: Bounds) -> Iterator[Unzipped]:
    """Open a zip of unknown origin; all of its directory is checked before anything is unpacked.

    Raises:
        UserError: no zip, more or larger files than the bounds, or an entry that is encrypted, packed in an unusual
            way, no regular file, twice there, or whose path could lead anywhere but to a place below a folder.
    """
    try:
        file = ZipFile(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check its name") from error
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read as a zip ({one_line(str(error))}): get the file again") from error
    with file:
        yield Unzipped(path, _sizes(path, file.infolist(), bounds), file)


def _sizes(path: Path, entries: list[ZipInfo], bounds: Bounds) -> dict[str, int]:
    if len(entries) > bounds.files:
        raise UserError(f"{path} holds {len(entries)} files: at most {bounds.files} are read")
    total = sum(entry.file_size for entry in entries)
    if total > bounds.bytes:
        raise UserError(f"{path} holds {total} bytes when unpacked: at most {bounds.bytes} are read")
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    for entry in entries:
        if problem := _problem(entry) or ("is there twice" if entry.filename.casefold() in seen else ""):
            raise UserError(f"{path}: {one_line(repr(entry.filename)[:120])} {problem}: the file is refused")
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
