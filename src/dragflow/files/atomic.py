"""Writing files so that nothing is ever half-written: a temporary file in the same folder, then a rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from dragflow.core.errors import UserError


def check_writable(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        UserError: it is one of the inputs or a file in one, a folder, or in a folder that is missing or not writable.
    """
    for source in inputs:
        if not path.exists() or not source.exists():
            continue
        if path.samefile(source) or (source.is_dir() and path.resolve().is_relative_to(source.resolve())):
            raise UserError(f"output {path} is itself an input: choose another name, inputs are never overwritten")
    if path.is_dir():
        raise UserError(f"output {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"output folder {path.parent} does not exist: create it first")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"output {path} is not writable: choose a place you may write to")


def check_folder(path: Path) -> None:
    """Refuse a folder that could not be created or written to.

    Raises:
        UserError: it is a file, its parent is missing, or it is not writable.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file: name a folder")
    if not path.exists() and not path.parent.is_dir():
        raise UserError(f"folder {path.parent} does not exist: create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"folder {path} is not writable: choose a place you may write to")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        UserError: the file cannot be written (no space, no permission).
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a new folder with these files (paths inside it) atomically.

    Raises:
        UserError: it exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: name a new folder")
    check_folder(folder)
    try:
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise UserError(f"folder {folder} cannot be created: {error.strerror}") from error
    try:
        for name, data in files.items():
            (building / name).parent.mkdir(exist_ok=True)
            (building / name).write_bytes(data)
        building.chmod(0o777 & ~_umask())
        building.replace(folder)
    except OSError as error:
        raise UserError(f"folder {folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _umask() -> int:
    """The process's file mode mask; temporary files are private, results get the usual permissions."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())
