"""One row for each run and sample with everything that is known about it, for further work elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from dragflow.bench.metrics.catalogue import BY_KEY
from dragflow.bench.report.build import current_scores
from dragflow.bench.report.tables import Report
from dragflow.bench.runs import RunRecord, SampleScores, ScoredRun

_RUN = ("data", "regions", "label", "method", "config", "model", "perceptual", "features", "folder")
_RECORD = ("sample", "status", "error", "open_seconds", "edit_seconds", "calls", "peak_memory_mib", "picture_sha256")
_GROUPS = ("category", "tags")


def render(report: Report, metrics: Sequence[str] | None) -> str:
    """The table; a sample that was not scored, or to which a metric does not apply, has empty cells.

    Args:
        report: whose runs are written.
        metrics: keys of the columns; all that were measured if None.
    """
    measured = {key for run in report.runs for one in run.scores for key in one.values}
    every = [*(key for key in BY_KEY if key in measured), *sorted(measured - BY_KEY.keys())]
    keys = list(metrics) if metrics is not None else every
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_RUN, *_RECORD, *_GROUPS, *keys])
    for run in report.runs:
        scores = current_scores(run)
        for record in run.records:
            writer.writerow([*_of_run(run), *_of_record(record), *_of_scores(scores.get(record.sample), keys)])
    return text.getvalue()


def _of_run(run: ScoredRun) -> list[str]:
    header = run.header
    config = header.config.hash if header.config is not None else ""
    model = header.weights.options.name if header.weights is not None else ""
    start = [header.data_name, header.regions, header.label, header.method, config, model]
    return [*start, run.tools.perceptual, run.tools.features, str(run.folder)]


def _of_record(record: RunRecord) -> list[object]:
    return [getattr(record, name) for name in _RECORD]


def _of_scores(scores: SampleScores | None, keys: Sequence[str]) -> list[object]:
    if scores is None:
        return ["", "", *("" for _ in keys)]
    return [scores.category, ";".join(scores.tags), *(scores.values.get(key, "") for key in keys)]
