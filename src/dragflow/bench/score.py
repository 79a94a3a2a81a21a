"""Scoring a run: every metric that applies on every picture that was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dragflow.bench.runs import SampleScores, picture_path, read_records
from dragflow.bench.sample import DataSet, Sample
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.files.pictures import load_image


class Scorer(Protocol):
    """Computes every metric of an edited picture; see `metrics.suite.Suite`."""

    def score(self, sample: Sample, image: Pixels) -> dict[str, float]:
        """Values by the metric's key; what does not apply is left out."""
        ...


def score(folder: Path, data: DataSet, scorer: Scorer) -> Iterator[SampleScores]:
    """The scores of every picture of a run, in the order of the data set.

    Raises:
        UserError: the data are not those of the run, or a picture is missing.
    """
    records = {record.sample: record for record in read_records(folder)}
    for name in data.ids:
        record = records.get(name)
        if record is None or record.status != "done":
            continue
        sample = data.load(name)
        if sample.image.sha256 != record.source_sha256:
            raise UserError(
                f"the picture of sample {name} is not the one that {folder} was made from: name the same data"
            )
        image = load_image(picture_path(folder, name)).pixels
        yield SampleScores(name, sample.category, sample.tags, record.picture_sha256, scorer.score(sample, image))
