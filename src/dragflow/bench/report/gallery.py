"""The pictures of a report: for each sample source, instruction, truth and every run's result, small and inline."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dragflow.bench.report.build import current_scores
from dragflow.bench.report.tables import Section
from dragflow.bench.runs import RunRecord, ScoredRun
from dragflow.bench.sample import DataSet, Sample
from dragflow.bench.unchanged import is_of, load_picture
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.pixels.drawing import overlay

SIDE = 256
"""Longest side of a picture in a report."""
_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A picture as text, for a page."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Tile:
    """One picture in the row of a sample."""

    title: str
    run: int | None
    """The run whose result it is."""
    picture: Picture | None
    note: str = ""
    """Why there is no picture."""


@dataclass(frozen=True)
class Entry:
    """One sample."""

    sample: str
    category: str
    tags: tuple[str, ...]
    tiles: tuple[Tile, ...]
    scores: tuple[Mapping[str, float], ...]
    """Of each run, by the metric's key."""
    note: str
    """Why source and instruction are not shown."""


def gallery(section: Section, data: DataSet | None, count: int | None) -> Iterator[Entry]:
    """The chosen samples, worst first.

    Args:
        section: the runs.
        data: where sources, instructions and truths come from; None shows results only.
        count: at most so many samples, spread evenly over the ranking.
    """
    records = [{record.sample: record for record in run.records} for run in section.runs]
    scores = [current_scores(run) for run in section.runs]
    known = frozenset(data.ids) if data is not None else frozenset[str]()
    for name in choose(section, count):
        of_runs = [by_sample.get(name) for by_sample in records]
        loaded = _load(data, name, of_runs) if data is not None and name in known else _missing(data)
        scored = [by_sample[name] for by_sample in scores if name in by_sample]
        facts = scored[0] if scored else loaded if isinstance(loaded, Sample) else None
        tiles = _source_tiles(loaded) if isinstance(loaded, Sample) else []
        tiles += [_result(i, run, record) for i, (run, record) in enumerate(zip(section.runs, of_runs, strict=True))]
        yield Entry(
            sample=name,
            category=facts.category if facts is not None else "",
            tags=facts.tags if facts is not None else (),
            tiles=tuple(tiles),
            scores=tuple(by_sample[name].values if name in by_sample else {} for by_sample in scores),
            note="" if isinstance(loaded, Sample) else loaded,
        )


def choose(section: Section, count: int | None) -> list[str]:
    """Samples of which a run has a picture, worst first by the ranking metric's mean over runs."""
    ranked = list(section.samples)
    if section.ranking is not None:
        metric = section.ranking.metric
        sign = 1 if metric.better == "up" else -1
        scores = [current_scores(run) for run in section.runs]

        def rank(sample: str) -> float:
            every = [by_sample[sample].values for by_sample in scores if sample in by_sample]
            known = [one[metric.key] for one in every if metric.key in one]
            return sign * float(np.mean(known)) if known else math.inf

        ranked.sort(key=rank)
    if count is None or count >= len(ranked):
        return ranked
    return [ranked[i] for i in np.linspace(0, len(ranked) - 1, count).round().astype(int).tolist()]


def encode(pixels: Pixels) -> Picture:
    """A picture (H, W, 3) scaled down to `SIDE` and compressed; the same pixels give the same text."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY)
    return Picture(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", *image.size)


def _missing(data: DataSet | None) -> str:
    reason = "the data set is not available" if data is None else f"the available {data.name} has no such sample"
    return f"Source and instruction are not shown: {reason}."


def _load(data: DataSet, name: str, records: list[RunRecord | None]) -> Sample | str:
    """The sample, or why it cannot be shown."""
    try:
        sample = data.load(name)
        sample.task  # noqa: B018  # an instruction that cannot be drawn is reported here, once
    except UserError as error:
        return f"Source and instruction are not shown: {error}."
    if not all(record is None or is_of(record, sample) for record in records):
        return "Source and instruction are not shown: the available data are not those that were edited."
    return sample


def _source_tiles(sample: Sample) -> list[Tile]:
    pictures = {"source": sample.image.pixels, "instruction": overlay(sample.task), "truth": sample.truth}
    return [Tile(title, None, encode(pixels)) for title, pixels in pictures.items() if pixels is not None]


def _result(i: int, run: ScoredRun, record: RunRecord | None) -> Tile:
    label = run.header.label
    if record is None:
        return Tile(label, i, None, "not run")
    if record.status != "done":
        return Tile(label, i, None, record.status)
    try:
        return Tile(label, i, encode(load_picture(run.folder, record)))
    except UserError as error:
        return Tile(label, i, None, str(error))
