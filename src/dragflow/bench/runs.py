"""What is in the folder of a run, and reading it: what was run, a record for every sample, the pictures, the scores.

RUN/run.json        what was run: data, method, configuration, model
RUN/records.jsonl   one line for each sample
RUN/pictures/<sample>.png
RUN/scores.json     what the scores were measured with
RUN/scores.jsonl    one line for each scored sample
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, TypeAdapter

from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT
from dragflow.core.models import SubjectId, WeightsId
from dragflow.files import schema
from dragflow.files.logs import whole_lines

HEADER, RECORDS, PICTURES, TOOLS, SCORES = "run.json", "records.jsonl", "pictures", "scores.json", "scores.jsonl"

T = TypeVar("T")


def _inside(sample: str) -> str:
    """A name that leads to a picture in the folder of its run, and to nothing outside of it."""
    if "\0" in sample or any(part in ("", ".", "..") for part in sample.split("/")):
        raise ValueError("this is not the name of a sample")
    return sample


SampleName = Annotated[str, AfterValidator(_inside)]


@dataclass(frozen=True)
class RunHeader:
    """What was run. Two runs with equal headers are the same run."""

    __pydantic_config__ = STRICT

    data: str
    """Where the data lie: a folder, or `world:COUNT` of the built-in scenes."""
    data_name: str
    """Name of the data set."""
    regions: str
    """The rule by which regions are inferred from point pairs."""
    method: str
    label: str
    """The method's name in tables."""
    config: EditConfig | None
    """None where no model is used."""
    weights: WeightsId | None
    versions: dict[str, str]
    subject: SubjectId | None = None
    """None where no subject adapter was loaded."""


@dataclass(frozen=True)
class RunRecord:
    """What came of one sample."""

    __pydantic_config__ = STRICT

    sample: SampleName
    status: Literal["done", "failed", "unreadable"]
    """`failed`: the method raised an error. `unreadable`: the sample itself is broken."""
    error: str = ""
    open_seconds: float = 0.0
    """Work that further edits of the same picture would share."""
    edit_seconds: float = 0.0
    calls: int = 0
    """Model calls and optimisation iterations."""
    peak_memory_mib: float | None = None
    source_sha256: str = ""
    picture_sha256: str = ""
    """Digest of the file."""
    request_sha256: str = ""
    """Digest of what was asked; "" in a run of before it was recorded."""


@dataclass(frozen=True)
class Tools:
    """What the scores were measured with."""

    __pydantic_config__ = STRICT

    perceptual: str
    """Name of the perceptual distance, "" where there was none."""
    features: str
    """Name of the features that mean distances match, "" where there were none."""
    absent: dict[str, str] = field(default_factory=dict[str, str])
    """Metrics that could not be measured, and how to get what they need."""
    scores_sha256: str = ""
    """Digest of the file of scores that this belongs to; "" in a run of before it was recorded."""


@dataclass(frozen=True)
class SampleScores:
    """The scores of one edited picture."""

    __pydantic_config__ = STRICT

    sample: SampleName
    category: str
    tags: tuple[str, ...]
    picture_sha256: str
    values: dict[str, float]
    """By the metric's key; a metric that does not apply to the sample is not there."""
    sample_sha256: str = ""
    """Digest of the sample, with its truth; "" in a run of before it was recorded."""


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scores, as reports take it."""

    folder: Path
    header: RunHeader
    records: tuple[RunRecord, ...]
    tools: Tools
    scores: tuple[SampleScores, ...]


def picture_path(folder: Path, sample: str) -> Path:
    """Where the edited picture of a sample lies.

    Raises:
        UserError: a link leads out of the folder.
    """
    path = folder / PICTURES / f"{sample}.png"
    check_link(folder, path)
    return path


def check_link(folder: Path, path: Path) -> None:
    """Refuse a file of a run that is in truth another file, outside of the run's folder.

    Raises:
        UserError: a link leads out of the folder.
    """
    real = path.resolve()
    if not real.is_relative_to(folder.resolve()):
        raise UserError(f"{path} leads out of the folder of its run, to {real}: put the file itself there")


def read_header(folder: Path) -> RunHeader:
    """What was run.

    Raises:
        UserError: no run folder, or a damaged one.
    """
    with _by_this_version(folder):
        return _load(RunHeader, folder, HEADER, "a run is made by `dragflow bench run`", "name a new folder")


def read_records(folder: Path) -> tuple[RunRecord, ...]:
    """The records of a run; of several for one sample the last counts.

    Raises:
        UserError: a line that is not a record.
    """
    with _by_this_version(folder):
        lines = _lines(RunRecord, folder, RECORDS, "delete this line, and its sample is made again")
    return tuple({record.sample: record for record in lines}.values())


def read_scored(folder: Path) -> ScoredRun:
    """A run with its scores.

    Raises:
        UserError: no run, not scored yet, or with scores that are damaged.
    """
    header, again = read_header(folder), f"score the run: `dragflow bench score {folder}`"
    with _by_this_version(folder):
        tools = _load(Tools, folder, TOOLS, again, again)
        scores = _lines(SampleScores, folder, SCORES, again)
    if tools.scores_sha256 not in ("", hashlib.sha256(_read(folder, SCORES) or b"").hexdigest()):
        raise UserError(f"{folder / SCORES} was changed since it was written, or not written to its end: {again}")
    return ScoredRun(folder, header, read_records(folder), tools, tuple(scores))


@contextmanager
def _by_this_version(folder: Path) -> Iterator[None]:
    """What cannot be read in the folder of another version of dragflow is put down to that."""
    try:
        yield
    except UserError as error:
        here, there = version("dragflow"), _made_by(folder)
        if there in (None, here):
            raise
        raise UserError(
            f"{folder} was made by dragflow {there} and cannot be read by {here}: use {there}, or name a new folder "
            f"({error})"
        ) from error


def _made_by(folder: Path) -> str | None:
    """The version of dragflow that made a run, if its header says so in any way."""
    try:
        found: Any = json.loads((folder / HEADER).read_bytes())["versions"]["dragflow"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found[:20] if isinstance(found, str) and found.isprintable() else None


def _load(kind: type[T], folder: Path, name: str, absent: str, fix: str) -> T:
    """A file with one JSON object; `absent` and `fix` say what to do where it is missing or damaged."""
    path, data = folder / name, _read(folder, name)
    if data is None:
        raise UserError(f"{path} does not exist: {absent}")
    return _parse(kind, data, str(path), fix)


def _lines(kind: type[T], folder: Path, name: str, fix: str) -> list[T]:
    """A file with one JSON object a line, none if there is no file; half a line of a killed process does not count."""
    whole = whole_lines(_read(folder, name) or b"")
    return [_parse(kind, line, f"{folder / name} line {number}", fix) for number, line in enumerate(whole, 1)]


def _read(folder: Path, name: str) -> bytes | None:
    path = folder / name
    check_link(folder, path)
    if not path.exists():
        return None
    if not path.is_file():
        raise UserError(f"{path} is not a regular file: name a new folder for the run")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error


def _parse(kind: type[T], data: bytes, place: str, fix: str) -> T:
    try:
        return schema.parse(TypeAdapter(kind), schema.load_json(data.decode(), place), place)
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is not UTF-8 text: {fix}") from error
    except UserError as error:
        raise UserError(f"{error}: {fix}") from error
