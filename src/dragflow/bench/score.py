"""Scoring a run: every metric that applies on every picture that was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dragflow.bench.runs import RunRecord, SampleScores, read_records
from dragflow.bench.sample import DataSet, Sample
from dragflow.bench.unchanged import check_names, check_picture, load_picture, load_unchanged
from dragflow.core.arrays import Pixels


class Scorer(Protocol):
    """Computes every metric of an edited picture; see `metrics.suite.Suite`."""

    def score(self, sample: Sample, image: Pixels) -> dict[str, float]:
        """Values by the metric's key; what does not apply is left out."""
        ...


def scorable(folder: Path, data: DataSet) -> Sequence[RunRecord]:
    """The records of every picture of a run, in the order of the data set.

    Raises:
        UserError: the data lack a sample of the run, or a picture is missing or damaged.
    """
    records = {record.sample: record for record in read_records(folder)}
    check_names(folder, records.values(), data)
    done = [records[name] for name in data.ids if name in records and records[name].status == "done"]
    for record in done:
        check_picture(folder, record)
    return done


def score(folder: Path, data: DataSet, scorer: Scorer) -> Iterator[SampleScores]:
    """The scores of every picture of a run, in the order of the data set.

    Raises:
        UserError: as for `scorable`, or a sample is not the one that a picture was made from.
    """
    for record in scorable(folder, data):
        sample = load_unchanged(folder, record, data)
        values = scorer.score(sample, load_picture(folder, record))
        yield SampleScores(record.sample, sample.category, sample.tags, record.picture_sha256, values, sample.sha256)
