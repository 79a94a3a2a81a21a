"""The folder of a run: what was run, a record for every sample as it comes, the pictures, and later the scores.

RUN/run.json        what was run: data, method, configuration, model
RUN/records.jsonl   one line for each sample
RUN/pictures/<sample>.png
RUN/scores.json     what the scores were measured with
RUN/scores.jsonl    one line for each scored sample
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from dragflow.core.config import EditConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT
from dragflow.core.models import SubjectId, WeightsId
from dragflow.files import schema
from dragflow.files.atomic import check_folder, write_bytes, write_text

HEADER, RECORDS, PICTURES, TOOLS, SCORES = "run.json", "records.jsonl", "pictures", "scores.json", "scores.jsonl"
_LOCK = ".lock"

T = TypeVar("T")


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

    sample: str
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


@dataclass(frozen=True)
class SampleScores:
    """The scores of one edited picture."""

    __pydantic_config__ = STRICT

    sample: str
    category: str
    tags: tuple[str, ...]
    picture_sha256: str
    values: dict[str, float]
    """By the metric's key; a metric that does not apply to the sample is not there."""


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scores, as reports take it."""

    folder: Path
    header: RunHeader
    records: tuple[RunRecord, ...]
    tools: Tools
    scores: tuple[SampleScores, ...]

    def picture(self, sample: str) -> Path:
        """Where the edited picture of a sample lies."""
        return picture_path(self.folder, sample)


def picture_path(folder: Path, sample: str) -> Path:
    """Where the edited picture of a sample lies."""
    return folder / PICTURES / f"{sample}.png"


def read_header(folder: Path) -> RunHeader:
    """What was run.

    Raises:
        UserError: no run folder, or a damaged one.
    """
    return _load(RunHeader, folder / HEADER, "a run is made by `dragflow bench run`")


@contextmanager
def opened(folder: Path, header: RunHeader) -> Iterator[None]:
    """Make the folder of a run, or check that it holds the same run; no other process may write to it meanwhile.

    Raises:
        UserError: another run is in it, another process is at it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {folder} of a run cannot be made ({error.strerror}): name another one") from error
    check_folder(folder)
    with _locked(folder):
        if (folder / HEADER).exists():
            _check_same(folder, header)
        else:
            if any(path.name != _LOCK for path in folder.iterdir()):
                raise UserError(f"{folder} is not empty and holds no run: name a new folder")
            write_text(folder / HEADER, TypeAdapter(RunHeader).dump_json(header, indent=1).decode() + "\n")
        _drop_torn_line(folder / RECORDS)
        yield


def _check_same(folder: Path, header: RunHeader) -> None:
    there, here = (replace(one, config=effective_config(one)) for one in (read_header(folder), header))
    changed = [name for name, value in vars(here).items() if value != getattr(there, name)]
    if changed:
        raise UserError(
            f"{folder} holds another run ({', '.join(changed)} differ): name a new folder, or run what it holds"
        )


def effective_config(header: RunHeader) -> EditConfig | None:
    """The configuration of a run; settings of a subject adapter that is not there are the default ones."""
    if header.config is None or header.subject is not None:
        return header.config
    return replace(header.config, subject=SubjectConfig())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        held = FileLock(folder / _LOCK).acquire(blocking=False)
    except Timeout as error:
        raise UserError(f"another process is writing to {folder}: wait for it, or name a new folder") from error
    with held:
        yield


def _drop_torn_line(path: Path) -> None:
    """A process that was killed while it wrote left half a line: its sample is made again."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        write_bytes(path, whole)


def add_record(folder: Path, record: RunRecord) -> None:
    """Append one record; it is on the disk when this returns."""
    with (folder / RECORDS).open("ab") as log:
        log.write(TypeAdapter(RunRecord).dump_json(record) + b"\n")
        log.flush()
        os.fsync(log.fileno())


def read_records(folder: Path) -> tuple[RunRecord, ...]:
    """The records of a run; of several for one sample the last counts.

    Raises:
        UserError: a line that is no record.
    """
    return tuple({record.sample: record for record in _lines(RunRecord, folder / RECORDS)}.values())


def write_scores(folder: Path, tools: Tools, scores: Iterable[SampleScores]) -> None:
    """Write the scores of a run, replacing older ones."""
    lines = [TypeAdapter(SampleScores).dump_json(one) + b"\n" for one in scores]
    write_bytes(folder / SCORES, b"".join(lines))
    write_text(folder / TOOLS, TypeAdapter(Tools).dump_json(tools, indent=1).decode() + "\n")


def read_scored(folder: Path) -> ScoredRun:
    """A run with its scores.

    Raises:
        UserError: no run, or not scored yet.
    """
    header = read_header(folder)
    tools = _load(Tools, folder / TOOLS, "score the run first: `dragflow bench score RUN`")
    return ScoredRun(folder, header, read_records(folder), tools, tuple(_lines(SampleScores, folder / SCORES)))


def _load(kind: type[T], path: Path, hint: str) -> T:
    if not path.exists():
        raise UserError(f"{path} does not exist: {hint}")
    return schema.parse(TypeAdapter(kind), schema.load_json(path.read_text(encoding="utf-8"), str(path)), str(path))


def _lines(kind: type[T], path: Path) -> list[T]:
    if not path.exists():
        return []
    adapter = TypeAdapter(kind)
    text = path.read_text(encoding="utf-8").splitlines()
    places = [f"{path} line {number}" for number in range(1, len(text) + 1)]
    return [
        schema.parse(adapter, schema.load_json(line, place), place) for line, place in zip(text, places, strict=True)
    ]
