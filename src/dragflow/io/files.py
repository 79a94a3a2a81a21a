"""Writing files so that nothing is ever half-written: a temporary file beside the target, then a rename."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dragflow.core.errors import UserError


def check_writable(path: Path, *, source: Path | None = None) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        UserError: it is the source, a folder, or in a folder that is missing or not writable.
    """
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise UserError(f"output {path} is the input itself: choose another name, the source is never overwritten")
    if path.is_dir():
        raise UserError(f"output {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"output folder {path.parent} does not exist: create it first")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"output {path} is not writable: choose a place you may write to")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: the system refuses (no space, no permission).
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes it private; a picture gets the usual permissions
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())
