"""Pictures that another program made, imported as a run so that they are scored like our own."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from dragflow.bench.data.points import RegionRule
from dragflow.bench.data.registry import rule_name
from dragflow.bench.folder import add_record, opened, save_picture
from dragflow.bench.run import data_set
from dragflow.bench.runs import RunHeader, RunRecord, read_records
from dragflow.bench.sample import DataSet
from dragflow.bench.unchanged import check_names
from dragflow.core.errors import UserError
from dragflow.files.pictures import load_image

METHOD = "external"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def import_results(data: str, regions: RegionRule | None, folder: Path, label: str, out: Path) -> Iterator[RunRecord]:
    """Import the pictures of a folder; a sample without one is recorded as failed.

    Into a run that is there already everything is imported again, and what has changed is recorded.

    Args:
        data: as for `open_data`.
        regions: rule for point-only samples; None for the default.
        folder: holds a picture for each sample, named as `find_result` says.
        label: name of the method in tables.
        out: folder of the run.

    Raises:
        UserError: the folder does not exist or holds no picture named like a sample, or `out` holds another run.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the folder that holds the results")
    samples = data_set(data, regions)
    results = {sample: find_result(folder, sample) for sample in samples.ids}
    if not any(results.values()):
        raise UserError(
            f"{folder} holds no picture named like a sample: for sample {samples.ids[0]!r} one of "
            f"{', '.join(str(path.relative_to(folder)) for path in _places(folder, samples.ids[0]))} would be taken"
        )
    versions = {"python": platform.python_version(), "dragflow": version("dragflow")}
    header = RunHeader(data, samples.name, rule_name(data, regions), METHOD, label, None, None, versions)
    with opened(out, header):
        records = {record.sample: record for record in read_records(out)}
        check_names(out, records.values(), samples)
        for sample, path in results.items():
            record = _import_one(samples, sample, path, out)
            if record != records.get(sample):
                add_record(out, record)
            yield record


def find_result(folder: Path, sample: str) -> Path | None:
    """The picture of a sample: SAMPLE.png with its folders, or with "_" for "/"; also .jpg, .jpeg, .webp."""
    return next((path for path in _places(folder, sample) if path.is_file()), None)


def _places(folder: Path, sample: str) -> list[Path]:
    names = dict.fromkeys((sample, sample.replace("/", "_")))
    return [folder / f"{name}{suffix}" for name in names for suffix in _SUFFIXES]


def _import_one(data: DataSet, sample: str, path: Path | None, out: Path) -> RunRecord:
    try:
        loaded = data.load(sample)
    except UserError as error:
        return RunRecord(sample, "unreadable", str(error))
    asked = RunRecord(sample, "failed", source_sha256=loaded.image.sha256, request_sha256=loaded.request_sha256)
    if path is None:
        return replace(asked, error="this sample has no picture")
    try:
        image = load_image(path).pixels
    except UserError as error:
        return replace(asked, error=str(error))
    return replace(asked, status="done", picture_sha256=save_picture(out, sample, image))
