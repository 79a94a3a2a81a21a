"""Pictures that another program made, imported as a run so that they are scored like our own."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from dragflow.bench.data.points import RegionRule
from dragflow.bench.run import data_set, save_picture
from dragflow.bench.runs import RunHeader, RunRecord, add_record, opened, read_records
from dragflow.core.errors import UserError
from dragflow.files.pictures import load_image

METHOD = "external"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def import_results(data: str, regions: RegionRule, folder: Path, label: str, out: Path) -> Iterator[RunRecord]:
    """Import the pictures of a folder; a sample without one is recorded as failed.

    Args:
        data: as for `open_data`.
        regions: rule for point-only samples.
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
    header = RunHeader(data, samples.name, regions, METHOD, label, None, None, versions)
    with opened(out, header):
        done = {record.sample: record for record in read_records(out) if record.status == "done"}
        for sample, path in results.items():
            if sample not in done:
                done[sample] = _import_one(data, regions, sample, path, out)
                add_record(out, done[sample])
            yield done[sample]


def find_result(folder: Path, sample: str) -> Path | None:
    """The picture of a sample: SAMPLE.png with its folders, or with "_" for "/"; also .jpg, .jpeg, .webp."""
    return next((path for path in _places(folder, sample) if path.is_file()), None)


def _places(folder: Path, sample: str) -> list[Path]:
    names = dict.fromkeys((sample, sample.replace("/", "_")))
    return [folder / f"{name}{suffix}" for name in names for suffix in _SUFFIXES]


def _import_one(data: str, regions: RegionRule, sample: str, path: Path | None, out: Path) -> RunRecord:
    try:
        source = data_set(data, regions).load(sample).image.sha256
    except UserError as error:
        return RunRecord(sample, "unreadable", str(error))
    if path is None:
        return RunRecord(sample, "failed", "there is no picture of this sample", source_sha256=source)
    try:
        digest = save_picture(out, sample, load_image(path).pixels)
    except UserError as error:
        return RunRecord(sample, "failed", str(error), source_sha256=source)
    return RunRecord(sample, "done", source_sha256=source, picture_sha256=digest)
