"""Whether what a run recorded still holds: its pictures, and the samples that they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dragflow.bench.runs import RunRecord, picture_path
from dragflow.bench.sample import DataSet, Sample
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.files.pictures import load_image

_SAME_DATA = "give the same data, or make a new run in another folder"


def load_picture(folder: Path, record: RunRecord) -> Pixels:
    """The picture (H, W, 3) that a run made of a sample.

    Raises:
        UserError: see `check_picture`.
    """
    check_picture(folder, record)
    return load_image(picture_path(folder, record.sample)).pixels


def check_picture(folder: Path, record: RunRecord) -> None:
    """Refuse a picture that is missing, or is not the one that was recorded.

    Raises:
        UserError: one of these, or a link leads out of the folder.
    """
    if not is_intact(folder, record):
        path = picture_path(folder, record.sample)
        problem = "is not the picture that was recorded" if path.exists() else "is missing"
        raise UserError(f"{path} {problem}: give the command of the run again, which makes the picture again")


def is_intact(folder: Path, record: RunRecord) -> bool:
    """Whether the picture of a sample is there, as it was written."""
    path = picture_path(folder, record.sample)
    try:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == record.picture_sha256
    except OSError:
        return False


def check_names(folder: Path, records: Iterable[RunRecord], data: DataSet) -> None:
    """Refuse data that lack a sample of a run.

    Raises:
        UserError: naming the first.
    """
    known = frozenset(data.ids)
    for record in records:
        if record.sample not in known:
            raise UserError(f"{data.name} has no sample {record.sample!r}, which {folder} holds: {_SAME_DATA}")


def load_unchanged(folder: Path, record: RunRecord, data: DataSet) -> Sample:
    """The sample of a record, as it was when the run was made.

    Raises:
        UserError: it cannot be read any more, or it has another picture or another request.
    """
    name = record.sample
    try:
        sample = data.load(name)
        same = is_of(record, sample)
    except UserError as error:
        raise UserError(f"sample {name}, which {folder} holds, cannot be read ({error}): {_SAME_DATA}") from error
    if not same:
        part = "instruction" if record.source_sha256 == sample.image.sha256 else "picture"
        raise UserError(f"the {part} of sample {name} is not the one that {folder} was made from: {_SAME_DATA}")
    return sample


def is_of(record: RunRecord, sample: Sample) -> bool:
    """Whether a record is of this sample, with the same picture and the same request; older runs recorded less.

    Raises:
        UserError: a mask of the sample cannot be read.
    """
    recorded = (record.source_sha256, sample.image.sha256), (record.request_sha256, sample.request_sha256)
    return all(there in ("", here) for there, here in recorded)
