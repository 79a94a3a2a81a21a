"""Checking the archive of a study: whether it agrees with itself, with the data sets, and with scores made here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from dragflow.bench.metrics.suite import Suite
from dragflow.bench.real.outputs import PAGE, README, RUN_FILES, STUDY, SUMS, TABLE, archived_page
from dragflow.bench.real.study import RUNS, SETS, Circumstances, data_folders, made
from dragflow.bench.real.table import table
from dragflow.bench.report.build import current_scores, tool
from dragflow.bench.run import data_set
from dragflow.bench.runs import PICTURES, SampleScores, ScoredRun, read_scored
from dragflow.bench.sample import DataSet, Sample
from dragflow.bench.unchanged import is_intact, is_of, load_picture
from dragflow.core.errors import UserError
from dragflow.files import schema
from dragflow.files.zips import Bounds, Unzipped, unzipping

BOUNDS = Bounds(files=20_000, bytes=16 * 2**30)
_LARGEST = 256 * 2**20
"""Bytes of one file."""
_RUN = re.compile(rf"{RUNS}/((?:{'|'.join(SETS.values())})-[A-Za-z0-9_.-]+)/(.+)")
_PICTURE = re.compile(rf"{PICTURES}/.+\.png")
_TOLERANCE = 1e-3
"""By which a score may differ that was measured on another machine, of itself and at least of 1."""


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    differences: tuple[str, ...]
    """What is not as the archive says."""
    unchecked: tuple[str, ...]
    """What could not be checked here, and why."""
    table: str
    """The table as it follows from the scores."""


def check(path: Path, folders: Sequence[str], networks: Callable[[], Suite], work: Path) -> Checked:
    """Check an archive of unknown origin.

    Its files are compared with their digests, its table and page with its scores, its samples with those of data sets
    that are here, and its scores with those of its pictures, where it has them.

    Args:
        path: the archive.
        folders: of data sets; none for a check of the archive alone.
        networks: loads what measures pictures again; called where the archive has some, of data sets that are here.
        work: an empty folder, in which it is unpacked.

    Raises:
        UserError: no archive of a study, or one that could do harm.
    """
    differences: list[str] = []
    with unzipping(path, BOUNDS) as archive:
        _check_names(archive)
        differences += _unpack(archive, work)
        text = archive.read(STUDY).decode(errors="replace")
        told = schema.parse(TypeAdapter(Circumstances), schema.load_json(text, STUDY), f"{path}: {STUDY}")
        written = {name: archive.read(name).decode(errors="replace") for name in (TABLE, PAGE)}
    runs = tuple(_runs(work, told, path))
    differences += (line for run in runs for line in _inconsistent(run))
    unchecked: list[str] = []
    ours = table(runs, told)
    if told.dragflow == version("dragflow"):
        again = {TABLE: ours, PAGE: archived_page(runs, told)}
        differences += (f"{name} is not what the scores give" for name in again if again[name] != written[name])
    else:
        unchecked.append(f"{TABLE}, {PAGE}: made by dragflow {told.dragflow}, this is {version('dragflow')}")
    sets = {name: data_set(folder, None) for name, folder in (data_folders(folders) if folders else {}).items()}
    measured = any((run.folder / PICTURES).exists() and run.header.data_name in sets for run in runs)
    suite = networks() if measured else None
    for run in runs:
        if run.header.data_name in sets:
            differences += _compared(run, sets[run.header.data_name], suite)
        else:
            unchecked.append(f"samples of {run.folder.name}: no folder of {run.header.data_name} is given")
        unchecked += _unmeasured(run, suite)
    return Checked(tuple(differences), tuple(dict.fromkeys(unchecked)), ours)


def _check_names(archive: Unzipped) -> None:
    """Refuse files that no study has, and ones that are too large."""
    for name, size in archive.sizes.items():
        inside = _RUN.fullmatch(name)
        of_run = inside is not None and (inside[2] in RUN_FILES or _PICTURE.fullmatch(inside[2]))
        if name not in (README, TABLE, PAGE, STUDY, SUMS) and not of_run:
            raise UserError(f"{archive.path} holds {name}, which no archive of this kind has: it is refused")
        if size > _LARGEST:
            raise UserError(f"{archive.path}: {name} has {size} bytes: at most {_LARGEST} are read")


def _unpack(archive: Unzipped, work: Path) -> Iterator[str]:
    """Write the files of runs below a folder; gives what is not as its digest says."""
    lines = (line.partition("  ") for line in archive.read(SUMS).decode(errors="replace").splitlines())
    sums = {name: digest for digest, _, name in lines}
    yield from (f"{name}: it has a digest, and is not there" for name in sums if name not in archive.sizes)
    for name in archive.sizes:
        if name == SUMS:
            continue
        data = archive.read(name)
        if name not in sums:
            yield f"{name}: it has no digest in {SUMS}"
        elif sums[name] != hashlib.sha256(data).hexdigest():
            yield f"{name}: it is not the file that {SUMS} has the digest of"
        if name.startswith(f"{RUNS}/"):
            _write(work / name, data, archive.path)


def _write(path: Path, data: bytes, archive: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:  # a name too long for this system, or a file where a folder should be
        raise UserError(f"{archive} cannot be unpacked: {error.strerror} ({path.name})") from error


def _runs(work: Path, told: Circumstances, path: Path) -> Iterator[ScoredRun]:
    """The runs that were unpacked, in the order of the table."""
    there = {folder.name for folder in (work / RUNS).glob("*")}
    for name in told.runs:
        if name in there:
            run = read_scored(work / RUNS / name)
            if not name.startswith(f"{SETS.get(run.header.data_name)}-") or run.header.data_name not in told.available:
                raise UserError(f"{path}: {RUNS}/{name} is a run on {run.header.data_name}, which the study has not")
            yield run
    if more := there - set(told.runs):
        raise UserError(f"{path} holds runs that {STUDY} does not name: {', '.join(sorted(more))}")


def _inconsistent(run: ScoredRun) -> Iterator[str]:
    """What of a run does not fit together."""
    if current_scores(run).keys() != made(run.records):
        yield f"{run.folder.name}: the scores are not those of its pictures"
    if (run.folder / PICTURES).exists():
        for record in run.records:
            if record.status == "done" and not is_intact(run.folder, record):
                yield f"{run.folder.name}: the picture of {record.sample} is not the one that was recorded"


def _compared(run: ScoredRun, data: DataSet, suite: Suite | None) -> Iterator[str]:
    """How a run differs from the samples that are here, and its scores from those that its pictures get here."""
    name, scores, here = run.folder.name, current_scores(run), frozenset(data.ids)
    for record in run.records:
        if record.status == "unreadable":
            continue
        try:
            sample = data.load(record.sample) if record.sample in here else None
        except UserError:
            sample = None
        if sample is None:
            yield f"{name}: the data set that is here has no readable sample {record.sample}"
        elif not is_of(record, sample) or _is_of_another(scores.get(record.sample), sample):
            yield f"{name}: sample {record.sample} is another one in the data set that is here"
        elif suite is not None and record.sample in scores and is_intact(run.folder, record):
            ours = suite.score(sample, load_picture(run.folder, record))
            yield from _other_scores(run, record.sample, ours, suite)


def _is_of_another(scores: SampleScores | None, sample: Sample) -> bool:
    return scores is not None and scores.sample_sha256 != sample.sha256


def _other_scores(run: ScoredRun, sample: str, ours: dict[str, float], suite: Suite) -> Iterator[str]:
    theirs, used = current_scores(run)[sample].values, suite.tools()
    for key in sorted(theirs.keys() & ours.keys()):
        same_tool = tool(run, key) in ("", used.perceptual, used.features)
        if same_tool and abs(theirs[key] - ours[key]) > _TOLERANCE * max(1.0, abs(ours[key])):
            yield f"{run.folder.name}: {key} of {sample} is {theirs[key]:.6g} there and {ours[key]:.6g} here"


def _unmeasured(run: ScoredRun, suite: Suite | None) -> Iterator[str]:
    """Why scores of a run were not measured again."""
    if not (run.folder / PICTURES).exists():
        yield "scores: the archive has no pictures to measure again; their digests are in records.jsonl"
    elif suite is None:
        yield f"scores of {run.folder.name}: its pictures were not measured again"
    else:
        measured = {key for one in run.scores for key in one.values}
        used = suite.tools()
        missing = sorted(key for key in measured if tool(run, key) not in ("", used.perceptual, used.features))
        if missing:
            yield f"scores of {', '.join(missing)}: they were measured with networks that are not on this machine"
