"""Scored runs and a data set made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dragflow.bench.runs import RunHeader, RunRecord, SampleScores, ScoredRun, Tools, picture_path
from dragflow.bench.sample import Sample
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import WeightsId
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.encoding import encode_png
from dragflow.files.pictures import from_pixels

NO_MODELS = Tools(
    "", "", {"MD1": "no features are chosen: choose dift, dinov2 or taps", "IF_bg": "no weights of LPIPS"}
)


def scored_run(
    label: str,
    values: Mapping[str, Mapping[str, float]],
    *,
    folder: Path = Path("runs"),
    data: str = "data",
    data_name: str = "ReD Bench",
    regions: str = "thing",
    method: str = "preview",
    config: EditConfig | None = None,
    model: WeightsId | None = None,
    tools: Tools = NO_MODELS,
    categories: Mapping[str, str] | None = None,
    tags: Mapping[str, tuple[str, ...]] | None = None,
    sources: Mapping[str, str] | None = None,
    more: Sequence[RunRecord] = (),
) -> ScoredRun:
    """A run whose samples are the keys of `values`; `more` are records without scores."""
    records = [
        RunRecord(
            sample,
            "done",
            open_seconds=1.0,
            edit_seconds=2.0,
            calls=7,
            source_sha256=(sources or {}).get(sample, ""),
            picture_sha256=hashlib.sha256(RESULT).hexdigest(),
        )
        for sample in values
    ]
    scores = [
        SampleScores(
            sample,
            (categories or {}).get(sample, ""),
            (tags or {}).get(sample, ()),
            hashlib.sha256(RESULT).hexdigest(),
            dict(found),
        )
        for sample, found in values.items()
    ]
    header = RunHeader(data, data_name, regions, method, label, config, model, {"dragflow": "9.9", "python": "3.11.0"})
    return ScoredRun(folder / label, header, (*records, *more), tools, tuple(scores))


def one_metric(key: str, values: Sequence[float]) -> dict[str, dict[str, float]]:
    """Samples "0", "1", ... with a single metric."""
    return {str(i): {key: value} for i, value in enumerate(values)}


def shaded(seed: int) -> np.ndarray:
    """A picture (48, 64, 3) with a bright square, and a shade by which it is known."""
    image = np.full((48, 64, 3), 40 + 3 * seed, np.uint8)
    image[10:22, 8:20] = (230, 120, 20)
    return image


RESULT = encode_png(from_pixels(shaded(5)), shaded(5))
"""The file of every picture that these runs have made."""


def save_results(run: ScoredRun) -> None:
    """Write a picture for every sample that the run has done."""
    for record in run.records:
        if record.status == "done":
            path = picture_path(run.folder, record.sample)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(RESULT)


@dataclass(frozen=True)
class Squares:
    """Samples of a square that moves to the right, by id."""

    ids: tuple[str, ...]
    broken: tuple[str, ...] = field(default=())
    name: str = "ReD Bench"

    def load(self, sample: str) -> Sample:
        if sample in self.broken:
            raise UserError(f"{sample}/operation.png is missing")
        image = shaded(self.ids.index(sample))
        moves = Operation(Box(8, 10, 19, 21), Translate((40.0, 16.0)))
        return Sample(sample, "", from_pixels(image), Instruction((moves,)), ((13.5, 15.5),), ((40.0, 16.0),), image)
