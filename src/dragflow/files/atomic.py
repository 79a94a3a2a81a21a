"""Writing files so that nothing is ever half-written: a temporary file in the same folder, then a rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dragflow.core.errors import UserError
from dragflow.files.outputs import check_folder, check_replaceable

_SUFFIX = ".dragflow.part"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; see `write_files`."""
    write_files({path: data})


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_files(files: Mapping[Path, bytes], folder: Path | None = None) -> None:
    """Write files that belong together, all of them or none, and the folder of some of them if it is missing.

    Each is complete beside its place before the first takes it, in the order given.

    Raises:
        UserError: one cannot be written (no space, no permission); what was not there before is not there now.
    """
    waiting: dict[Path, Path] = {}
    new: list[Path] = []
    path = folder
    try:
        if folder is not None and not folder.exists():
            new.append(folder)
            folder.mkdir()
        for path, data in files.items():
            check_replaceable(path)
            waiting[path] = _part(path.parent)
            with waiting[path].open("xb") as file:
                file.write(data)
        for path, part in waiting.items():
            if not os.path.lexists(path):
                new.append(path)
            part.replace(path)
            _parts.discard(part)
    except BaseException as error:
        for part in waiting.values():
            _discard(part)
        for made in reversed(new):
            with suppress(OSError):
                made.rmdir() if made.is_dir() else made.unlink()
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        raise


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a new folder with these files (paths inside it) atomically.

    Raises:
        UserError: it exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: name a new folder")
    check_folder(folder)
    building = _part(folder.parent)
    try:
        building.mkdir()
        for name, data in files.items():
            (building / name).parent.mkdir(exist_ok=True)
            (building / name).write_bytes(data)
        building.replace(folder)
    except OSError as error:
        raise UserError(f"folder {folder} cannot be written: {error.strerror}") from error
    finally:
        _discard(building)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside a path, to be written by a library; it takes that place if nothing was raised, else it is gone."""
    part = _part(path.parent)
    try:
        yield part
        part.replace(path)
    finally:
        _discard(part)


_parts: set[Path] = set()
"""The temporary files and folders that exist now, of all threads."""


def discard_parts() -> None:
    """Remove what is being written, for a process that is about to end without unwinding."""
    for part in tuple(_parts):
        _discard(part)


def _part(folder: Path) -> Path:
    """A free name for a temporary file or folder, noted before it is created, so that no signal comes in between."""
    part = folder / f".{secrets.token_hex(8)}{_SUFFIX}"
    _parts.add(part)
    return part


def _discard(part: Path) -> None:
    _remove(part)
    _parts.discard(part)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
