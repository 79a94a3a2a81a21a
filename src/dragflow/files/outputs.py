"""What is read and what is written: no output is an input or another output, and none replaces a file unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from dragflow.core.errors import UserError
from dragflow.core.models import NANO, ModelOptions
from dragflow.core.task import Instruction, MaskArray
from dragflow.files.models import chosen_model, settled_model


def named_files(*values: object) -> list[Path]:
    """Every file or folder that these values name and that exists: paths, options, and the masks of instructions."""
    names = [form for value in values for name in _names(value) for form in _forms(name)]
    return [Path(name) for name in dict.fromkeys(names) if name and os.path.exists(name)]  # noqa: PTH110 (never raises)


def check_outputs(*outputs: Path, inputs: Iterable[Path], force: bool) -> None:
    """Refuse output paths, before any work is done for them, that are inputs or each other, or cannot be written.

    Raises:
        UserError: see `check_writable`; or two outputs have one path.
    """
    inputs = list(inputs)
    for i, path in enumerate(outputs):
        check_writable(path, inputs=inputs, force=force)
        if any(_place(path) == _place(other) or _same(path, other) for other in outputs[:i]):
            raise UserError(f"{path} is the path of two outputs: give each a name of its own")


def check_writable(path: Path, *, inputs: Iterable[Path] = (), force: bool = True) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        UserError: it is one of the inputs or a file in one, by whatever name or link; it exists and `force` is off; it
            is a folder, or in a folder that is missing or not writable.
    """
    for source in inputs:
        if _same(path, source) or (source.is_dir() and _holds(source, path)):
            raise UserError(f"output {path} is itself an input: choose another name, inputs are never overwritten")
    if path.is_dir():
        raise UserError(f"output {path} is a folder: name a file in it")
    check_replaceable(path)
    if not path.parent.is_dir():
        raise UserError(f"output folder {path.parent} does not exist: create it first")
    if os.path.lexists(path) and not force:
        raise UserError(f"output {path} exists already: choose another name, or replace it with `force`")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"output {path} is not writable: choose a place you may write to")


def check_replaceable(path: Path) -> None:
    """Refuse to replace anything but a file: root could put a file in the place of a device of the system.

    Raises:
        UserError: it is a device or a pipe.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"output {path} is a device or a pipe: name a file")


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


def _names(value: object) -> Iterator[str]:
    """What may be the name of a file in a value; prompts and other words name none that exists."""
    if isinstance(value, str | os.PathLike):
        yield str(os.fspath(value))
    elif isinstance(value, Instruction):
        yield from _names(value.regions)
    elif isinstance(value, MaskArray):
        yield value.name
    elif isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _names(item)
    elif isinstance(value, ModelOptions) and value.model is None:
        yield from _names(replace(value, model=chosen_model() or NANO))
    elif is_dataclass(value):
        given = settled_model(value) if isinstance(value, ModelOptions) else value
        for field in fields(given):
            yield from _names(getattr(given, field.name))


def _forms(name: str) -> tuple[str, ...]:
    """A name as it stands, without what is before its first colon (gguf:FILE), and without what is after its last
    (FILE:SCALE of a LoRA).
    """
    return name, name.partition(":")[2], name.rpartition(":")[0]


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one does not exist
        return False


def _place(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _holds(folder: Path, path: Path) -> bool:
    """Whether an existing file is one of a folder's, also by a link from or to another place."""
    if not path.exists():
        return False
    if path.resolve().is_relative_to(folder.resolve()):
        return True
    inside = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return any(_same(path, file) for file in inside)
