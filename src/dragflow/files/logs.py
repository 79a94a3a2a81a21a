"""Folders that long work fills: one process at a time, and a log of JSON lines that a killed process cannot spoil."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes

_LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let no other process write to a folder meanwhile.

    Raises:
        UserError: another process does, or it cannot be locked.
    """
    try:
        held = FileLock(folder / _LOCK).acquire(blocking=False)
    except Timeout as error:
        raise UserError(f"another process is writing to {folder}: wait for it, or name a new folder") from error
    except OSError as error:
        raise UserError(f"folder {folder} cannot be locked ({error.strerror}): name one you may write to") from error
    with held:
        yield


def append_line(path: Path, line: bytes) -> None:
    """Append one line; it is on the disk when this returns.

    Raises:
        UserError: it cannot be written (no space, no permission).
    """
    try:
        with path.open("ab") as log:
            log.write(line + b"\n")
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): mend that and give the same command again, which resumes"
        ) from error


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a log; half a line that a killed process left does not count."""
    return data.split(b"\n")[:-1]


def drop_half_line(path: Path) -> None:
    """Take half a line that a killed process left out of a log."""
    if path.is_file():
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_bytes(path, whole)


def drop_parts(folder: Path) -> None:
    """Remove files that a killed process did not write to their end."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
