"""Text files as people name them: a pipe, a device or a folder is refused before anything waits for it."""

from __future__ import annotations

from pathlib import Path

from dragflow.core.errors import UserError

_LARGEST = 256 * 2**20
"""Bytes; an instruction with masks of the largest picture has a tenth of them."""


def read_text(path: Path, what: str, fix: str = "check the path") -> str:
    """The text of a file.

    Args:
        path: the file.
        what: it is, for errors.
        fix: what to do where it does not exist.

    Raises:
        UserError: not a file, too large, or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{what} {path} is a folder, a device or a pipe: name a file")
        if path.exists() and path.stat().st_size > _LARGEST:
            raise UserError(f"{what} {path} is over the limit of {_LARGEST >> 20} MiB: is it what you meant?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{what} {path} does not exist: {fix}") from error
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}; {fix}") from error
    except ValueError as error:  # not UTF-8, or a null character in the path
        raise UserError(f"{what} {path} cannot be read as UTF-8 text: {error}") from error


def is_folder(path: Path) -> bool:
    """Whether this is a folder; False for a name that no file can have."""
    try:
        return path.is_dir()
    except OSError:
        return False
