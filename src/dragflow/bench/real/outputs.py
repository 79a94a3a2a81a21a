"""What a study leaves: the table, the page with pictures, and the archive, which has none unless that is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from dragflow.bench.real.study import RUNS, Circumstances, made, scored_runs
from dragflow.bench.real.table import left_out, table
from dragflow.bench.report import commands
from dragflow.bench.report.build import build
from dragflow.bench.report.tables import DataSets
from dragflow.bench.run import data_set
from dragflow.bench.runs import HEADER, PICTURES, RECORDS, SCORES, TOOLS, ScoredRun, picture_path
from dragflow.core.extras import extra
from dragflow.files.atomic import replacing, write_text
from dragflow.files.zips import zip_to

TABLE, PAGE, STUDY, ARCHIVE = "table.md", "report.html", "study.json", "archive.zip"
README, SUMS = "README.txt", "SHA256SUMS"
RUN_FILES = (HEADER, RECORDS, TOOLS, SCORES)
_GALLERY = 60
"""Samples of each data set in the gallery of the page."""
_ABOUT = """A measurement of dragflow on published data sets.

table.md      the figures, beside those that the papers print; what is left out, and why
report.html   every metric, with intervals, categories and commands
study.json    the machine, and how many samples there were
runs/         of each run the configuration, the model's fingerprint, a record for each sample and its scores
SHA256SUMS    the digest of every file

The pictures of the data sets belong to their authors and are not in here. {pictures}

Check it with `dragflow bench check ARCHIVE`; with the folders of the data sets after it, the samples, too.
"""
_WITHOUT = (
    "Nor are the edited ones, which\nconsist of them outside of the edit; runs/*/records.jsonl has the digest of each."
)
_WITH = (
    "The edited ones in runs/*/pictures\nconsist of them outside of the edit: pass them on only where the data sets' "
    "licences allow it."
)


def check_page() -> None:
    """Refuse to begin where the page cannot be made at the end.

    Raises:
        CapabilityError: jinja2 is missing.
    """
    with extra("bench", "an HTML report"):
        import dragflow.bench.report.html  # noqa: F401


def page(runs: Sequence[ScoredRun], told: Circumstances, data: DataSets, gallery: int) -> str:
    """The page of a study; equal input gives equal text.

    Raises:
        CapabilityError: jinja2 is missing.
    """
    from dragflow.bench.report import html

    return html.render(
        build(runs, None, "mean", None), data, gallery, commands.score(runs), tuple(left_out(runs, told))
    )


def archived_page(runs: Sequence[ScoredRun], told: Circumstances) -> str:
    """The page without any picture, and with the names of folders instead of where they lie: the same bytes anywhere.

    Raises:
        CapabilityError: jinja2 is missing.
    """
    return page([replace(run, folder=Path(run.folder.name)) for run in runs], told, {}, 0)


def write_outputs(folder: Path, told: Circumstances, *, pictures: bool) -> str:
    """Write table, page and archive of a study into its folder, each atomically; gives the table.

    Args:
        folder: of the study; its runs are scored.
        told: what they were measured on.
        pictures: whether the archive holds the edited pictures.

    Raises:
        UserError: no picture was made at all, a run is damaged, or a file cannot be written.
        CapabilityError: jinja2 is missing.
    """
    runs = tuple(scored_runs(folder, told.runs))
    text = table(runs, told)
    data = {(run.header.data, run.header.regions): data_set(run.header.data, None) for run in runs}
    write_text(folder / TABLE, text)
    write_text(folder / PAGE, page(runs, told, data, _GALLERY))
    texts = {
        README: _ABOUT.format(pictures=_WITH if pictures else _WITHOUT),
        TABLE: text,
        PAGE: archived_page(runs, told),
        STUDY: TypeAdapter(Circumstances).dump_json(told, indent=1).decode() + "\n",
    }
    with replacing(folder / ARCHIVE) as part, part.open("xb") as file:
        zip_to(file, _summed({name: one.encode() for name, one in texts.items()}, runs, pictures=pictures))
    return text


def _summed(texts: Mapping[str, bytes], runs: Sequence[ScoredRun], *, pictures: bool) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, and at the end their digests, as sha256sum reads them."""
    sums: list[str] = []
    for name, data in (*texts.items(), *_of_runs(runs, pictures=pictures)):
        sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        yield name, data
    yield SUMS, "".join(sums).encode()


def _of_runs(runs: Sequence[ScoredRun], *, pictures: bool) -> Iterator[tuple[str, bytes]]:
    for run in runs:
        place = f"{RUNS}/{run.folder.name}"
        yield from ((f"{place}/{name}", (run.folder / name).read_bytes()) for name in RUN_FILES)
        for sample in sorted(made(run.records)) if pictures else ():
            yield f"{place}/{PICTURES}/{sample}.png", picture_path(run.folder, sample).read_bytes()
