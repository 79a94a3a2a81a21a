"""Writing the folder of a run: by one process at a time, and so that one that is killed loses nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from dragflow.bench.runs import (
    HEADER,
    PICTURES,
    RECORDS,
    SCORES,
    TOOLS,
    RunHeader,
    RunRecord,
    SampleScores,
    Tools,
    check_link,
    picture_path,
    read_header,
)
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes, write_text
from dragflow.files.encoding import encode_png
from dragflow.files.logs import append_line, drop_half_line, drop_parts, locked
from dragflow.files.outputs import check_folder
from dragflow.files.pictures import from_pixels

_MOST_NAMED = 3
"""Differences of two runs that are told; the others are counted."""


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
    with locked(folder):
        if (folder / HEADER).exists():
            _check_same(folder, header)
        else:
            if any(not path.name.startswith(".") for path in folder.iterdir()):
                raise UserError(f"{folder} is not empty and holds no run: name a new folder")
            write_text(folder / HEADER, TypeAdapter(RunHeader).dump_json(header, indent=1).decode() + "\n")
        _drop_what_a_killed_process_left(folder)
        yield


def _check_same(folder: Path, header: RunHeader) -> None:
    there, here = (flat(asdict(replace(one, config=effective_config(one)))) for one in (read_header(folder), header))
    changed = [name for name in here | there if here.get(name) != there.get(name)]
    if changed:
        told = [f"{name} is {there.get(name)!r:.40} there, {here.get(name)!r:.40} here" for name in changed]
        more = [f"{len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else []
        raise UserError(
            f"{folder} holds another run ({'; '.join([*told[:_MOST_NAMED], *more])}): name a new folder, or run what "
            "it holds"
        )


def effective_config(header: RunHeader) -> EditConfig | None:
    """The configuration of a run; settings of a subject adapter that is not there are the default ones."""
    if header.config is None or header.subject is not None:
        return header.config
    return replace(header.config, subject=SubjectConfig())


def flat(group: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Values by their path in nested groups, as in "config.kv.rule"."""
    values: dict[str, object] = {}
    for key, value in group.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def _drop_what_a_killed_process_left(folder: Path) -> None:
    """Half a line, whose sample is made again, and pictures that were not written to their end."""
    log, pictures = folder / RECORDS, folder / PICTURES
    for path in (log, pictures):
        check_link(folder, path)
    drop_half_line(log)
    drop_parts(pictures)


def add_record(folder: Path, record: RunRecord) -> None:
    """Append one record; it is on the disk when this returns.

    Raises:
        UserError: it cannot be written (no space, no permission).
    """
    append_line(folder / RECORDS, TypeAdapter(RunRecord).dump_json(record))


def save_picture(folder: Path, sample: str, image: Pixels) -> str:
    """Write an edited picture atomically; returns the SHA-256 of the file.

    Raises:
        UserError: it cannot be written, or a link leads out of the folder.
    """
    data = encode_png(from_pixels(image), image)
    path = picture_path(folder, sample)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {path.parent} cannot be made: {error.strerror}") from error
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def write_scores(folder: Path, tools: Tools, scores: Iterable[SampleScores]) -> None:
    """Write the scores of a run, replacing older ones; what they were measured with holds their digest.

    Raises:
        UserError: they cannot be written, or a link leads out of the folder.
    """
    data = b"".join(TypeAdapter(SampleScores).dump_json(one) + b"\n" for one in scores)
    signed = replace(tools, scores_sha256=hashlib.sha256(data).hexdigest())
    write_bytes(folder / SCORES, data)
    write_text(folder / TOOLS, TypeAdapter(Tools).dump_json(signed, indent=1).decode() + "\n")
