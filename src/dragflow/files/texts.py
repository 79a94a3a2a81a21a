"""Files as people and strangers name them: what would hang, or lead elsewhere, is refused before it is opened."""

from __future__ import annotations

from pathlib import Path

from dragflow.core.errors import UserError, shown

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


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path of a stranger that leads out of a folder, by its parts or by a link.

    Raises:
        UserError: it does.
    """
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a null character
        raise UserError(f"{shown(str(path))} cannot be followed ({error}): check the path") from error
    if not inside:
        raise UserError(f"{path} is not in {root}, out of which nothing is read here: put the file there")
