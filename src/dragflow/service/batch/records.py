"""What is in the folder of a batch: what all items share, a record of each that has ended, and the results.

DIR/batch.json    what all items share
DIR/batch.jsonl   one line for each item that has ended; of several the last counts
DIR/NAME.png      the results, each with its recipe
DIR/index.html    the summary
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import StringConstraints, TypeAdapter

from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT
from dragflow.core.models import ModelOptions
from dragflow.files import schema
from dragflow.files.logs import append_line, whole_lines
from dragflow.files.texts import read_text

HEADER, RECORDS, PAGE = "batch.json", "batch.jsonl", "index.html"

T = TypeVar("T")
ItemName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
"""A name that leads to a file in the folder of its batch, and nowhere else."""


@dataclass(frozen=True)
class BatchHeader:
    """What all items share. Two batches with equal headers may be the same batch."""

    __pydantic_config__ = STRICT

    model: ModelOptions
    """Without those options that only say where and how it runs."""
    preset: str
    changes: tuple[str, ...]
    version: Literal[1] = 1


@dataclass(frozen=True)
class BatchRecord:
    """What came of one item."""

    __pydantic_config__ = STRICT

    item: ItemName
    status: Literal["done", "failed"]
    error: str = ""
    place: str = ""
    """Where in the manifest it was asked for, when it was made."""
    image: str = ""
    instruction: str = ""
    seconds: float = 0.0
    request_sha256: str = ""
    """Digest of what was asked; "" where that could not be read."""
    picture_sha256: str = ""
    """Digest of the result's file."""
    output: str = ""
    """Name of the result's file; "" if there is none."""


def read_header(folder: Path) -> BatchHeader:
    """What the items of a batch share.

    Raises:
        UserError: no batch, or a damaged one.
    """
    path = folder / HEADER
    return _parse(BatchHeader, read_text(path, "batch"), str(path), "name a new folder")


def read_records(folder: Path) -> dict[str, BatchRecord]:
    """The record of every item that has ended, by its name.

    Raises:
        UserError: a line that is not a record.
    """
    path = folder / RECORDS
    lines = whole_lines(read_text(path, "log").encode()) if path.exists() else []
    found = [
        _parse(BatchRecord, line.decode(), f"{path} line {number}", "delete this line, and its item is made again")
        for number, line in enumerate(lines, 1)
    ]
    return {record.item: record for record in found}


def add_record(folder: Path, record: BatchRecord) -> None:
    """Append a record; it is on the disk when this returns.

    Raises:
        UserError: it cannot be written.
    """
    append_line(folder / RECORDS, TypeAdapter(BatchRecord).dump_json(record))


def result_path(folder: Path, item: str) -> Path:
    """Where the result of an item is."""
    return folder / f"{item}.png"


def is_intact(folder: Path, record: BatchRecord) -> bool:
    """Whether the result of a record is there, as it was written."""
    try:
        return hashlib.sha256(result_path(folder, record.item).read_bytes()).hexdigest() == record.picture_sha256
    except OSError:
        return False


def _parse(kind: type[T], text: str, place: str, fix: str) -> T:
    try:
        return schema.parse(TypeAdapter(kind), schema.load_json(text, place), place)
    except UserError as error:
        raise UserError(f"{error}: {fix}") from error
