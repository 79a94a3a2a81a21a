"""From scored runs to the tables of a report: which samples count, which runs can be compared, and how they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dragflow.bench.metrics.catalogue import BY_KEY, CATALOGUE, MATCHED, PERCEPTUAL, Metric
from dragflow.bench.report.tables import Comparison, Cost, Counts, Group, Kind, Mark, MetricTable, Report, Section
from dragflow.bench.runs import RunRecord, SampleScores, ScoredRun
from dragflow.bench.statistics import Difference, Estimate, Statistic, difference, estimate, holm, paired
from dragflow.core.errors import UserError

LEVEL = 0.05
"""Level of significance: a difference counts if its adjusted p is below."""
NO_TAG = "no tag"


@dataclass(frozen=True)
class _Members:
    kind: Kind
    name: str
    samples: frozenset[str]


def build(runs: Sequence[ScoredRun], base: str | None, statistic: Statistic, metrics: tuple[str, ...] | None) -> Report:
    """Work out everything that a report says.

    Args:
        runs: with their scores.
        base: label of the run that others are compared with; the first on each data set when None.
        statistic: what tables show.
        metrics: keys, in the order in which they are shown; when None all that were measured, as in the catalogue.

    Raises:
        UserError: no runs, two of one label on the same data, an unknown base, an unknown or unmeasured metric.
    """
    if not runs:
        raise UserError("there is no run to report: name the folder of at least one scored run")
    sets: dict[tuple[str, str], list[ScoredRun]] = {}
    for run in runs:
        sets.setdefault((run.header.data_name, run.header.regions), []).append(run)
    for (data_name, _), members in sets.items():
        _check_labels(data_name, members)
    labels = {run.header.label for run in runs}
    if base is not None and base not in labels:
        raise UserError(f"base {base!r} is not the label of any run: choose one of {', '.join(sorted(labels))}")
    shown = _shown(runs, metrics)
    return Report(statistic, tuple(_section(tuple(members), base, statistic, shown) for members in sets.values()))


def current_scores(run: ScoredRun) -> dict[str, SampleScores]:
    """Scores by sample of the pictures that the run holds now; not those of a picture that was made again since."""
    digests = {record.sample: record.picture_sha256 for record in run.records if record.status == "done"}
    return {one.sample: one for one in run.scores if digests.get(one.sample) == one.picture_sha256}


def values(run: ScoredRun, key: str) -> dict[tuple[str, str, str], float]:
    """A metric by sample, with digests of picture and sample: no pair is made of samples that only share a name."""
    sources = {record.sample: record.source_sha256 for record in run.records}
    measured = {
        (name, sources[name], one.sample_sha256): one.values.get(key, math.nan)
        for name, one in current_scores(run).items()
    }
    return {sample: value for sample, value in measured.items() if math.isfinite(value)}


def tool(run: ScoredRun, key: str) -> str:
    """Name of the model that a metric of a run was measured with; "" if it needs none."""
    if key in MATCHED:
        return run.tools.features
    return run.tools.perceptual if key in PERCEPTUAL else ""


def _check_labels(data_name: str, runs: Sequence[ScoredRun]) -> None:
    labels = [run.header.label for run in runs]
    for label in labels:
        if labels.count(label) > 1:
            folders = " and ".join(str(run.folder) for run in runs if run.header.label == label)
            raise UserError(f"{folders} are all called {label!r} on {data_name}: run one of them with another `label`")


def _shown(runs: Sequence[ScoredRun], asked: tuple[str, ...] | None) -> tuple[Metric, ...]:
    measured = {key for run in runs for one in current_scores(run).values() for key in one.values}
    if asked is None:
        return tuple(metric for metric in CATALOGUE if metric.key in measured)
    for key in asked:
        if key not in BY_KEY:
            raise UserError(f"metric {key!r} is not known: choose from {', '.join(BY_KEY)}")
        if key not in measured:
            reasons = {run.tools.absent[key] for run in runs if key in run.tools.absent}
            why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
            raise UserError(f"metric {key!r} was measured in no run{why}: leave it out, or score the runs again")
    return tuple(BY_KEY[key] for key in dict.fromkeys(asked))


def _section(
    runs: tuple[ScoredRun, ...], base: str | None, statistic: Statistic, metrics: tuple[Metric, ...]
) -> Section:
    at = 0 if base is None else next((i for i, run in enumerate(runs) if run.header.label == base), None)
    groups = _groups(runs)
    tables = [_metric_table(runs, metric, at, groups, statistic) for metric in metrics]
    return Section(
        data_name=runs[0].header.data_name,
        regions=runs[0].header.regions,
        runs=runs,
        base=at,
        counts=tuple(_counts(run) for run in runs),
        costs=tuple(_cost(run.records) for run in runs),
        metrics=tuple(table for table in tables if any(e.n for e in table.overall)),
    )


def _groups(runs: Sequence[ScoredRun]) -> list[_Members]:
    """Samples by category and by tag, in the order of their names; no categories where all samples are in one."""
    every = {name: one for run in runs for name, one in current_scores(run).items()}

    def members(kind: Kind, name: str, inside: Callable[[SampleScores], bool]) -> _Members:
        return _Members(kind, name, frozenset(sample for sample, one in every.items() if inside(one)))

    categories = sorted({one.category for one in every.values()})
    tags = sorted({tag for one in every.values() for tag in one.tags})
    groups = [members("category", c, lambda one, c=c: one.category == c) for c in categories if len(categories) > 1]
    groups += [members("tag", tag, lambda one, tag=tag: tag in one.tags) for tag in tags]
    if tags:
        groups.append(members("tag", NO_TAG, lambda one: not one.tags))
    return groups


def _counts(run: ScoredRun) -> Counts:
    status = [record.status for record in run.records]
    scored = len(current_scores(run))
    return Counts(status.count("done"), status.count("failed"), status.count("unreadable"), scored)


def _cost(records: Sequence[RunRecord]) -> Cost:
    done = [record for record in records if record.status == "done"]

    def median(numbers: Sequence[float]) -> float:
        return float(np.median(numbers)) if any(numbers) else math.nan

    memory = [record.peak_memory_mib for record in done if record.peak_memory_mib is not None]
    return Cost(
        first_seconds=median([record.open_seconds + record.edit_seconds for record in done]),
        again_seconds=median([record.edit_seconds for record in done]),
        calls=median([record.calls for record in done]),
        peak_memory_mib=max(memory, default=math.nan),
    )


def _metric_table(
    runs: Sequence[ScoredRun], metric: Metric, base: int | None, groups: Sequence[_Members], statistic: Statistic
) -> MetricTable:
    tools = tuple(tool(run, metric.key) for run in runs)
    measured = [values(run, metric.key) for run in runs]
    overall = tuple(estimate(one.values(), statistic) for one in measured)
    having = [i for i in range(len(runs)) if measured[i]]
    comparable = [(i, j) for i, j in combinations(having, 2) if tools[i] == tools[j]]
    differences = {(i, j): paired(measured[i], measured[j], statistic) for i, j in comparable}
    pairs = _comparisons(differences, metric)
    return MetricTable(
        metric=metric,
        tools=tools,
        overall=overall,
        marks=_marks(metric, tools, overall, pairs),
        groups=_group_rows(groups, measured, _comparable_to_base(comparable, base), base, statistic),
        pairs=pairs,
        to_base=_comparisons(_to_base(differences, base), metric),
    )


def _comparable_to_base(comparable: Sequence[tuple[int, int]], base: int | None) -> frozenset[int]:
    """The runs that can be compared with the base."""
    return frozenset(run for pair in comparable if base in pair for run in pair if run != base)


def _group_rows(
    groups: Sequence[_Members],
    measured: Sequence[dict[tuple[str, str, str], float]],
    compared: frozenset[int],
    base: int | None,
    statistic: Statistic,
) -> tuple[Group, ...]:
    """Rows of the groups that have the metric at all."""
    rows: list[Group] = []
    for group in groups:
        inside = [{key: value for key, value in one.items() if key[0] in group.samples} for one in measured]
        if not any(inside):
            continue
        to_base = [
            difference(one, inside[base], statistic) if base is not None and i in compared else None
            for i, one in enumerate(inside)
        ]
        estimates = tuple(estimate(one.values(), statistic) for one in inside)
        rows.append(Group(group.kind, group.name, estimates, tuple(to_base)))
    return tuple(rows)


def _to_base(differences: dict[tuple[int, int], Difference], base: int | None) -> dict[tuple[int, int], Difference]:
    """The pairs with the base, which is made the second of each."""
    as_second = {pair: d for pair, d in differences.items() if pair[1] == base}
    return as_second | {(j, i): d.negated for (i, j), d in differences.items() if i == base}


def _comparisons(differences: dict[tuple[int, int], Difference], metric: Metric) -> tuple[Comparison, ...]:
    adjusted = holm([one.p for one in differences.values()])
    comparisons: list[Comparison] = []
    for ((i, j), one), p in zip(differences.items(), adjusted, strict=True):
        first_is_better = (one.estimate.value > 0) == (metric.better == "up")
        comparisons.append(Comparison(i, j, one, p, (i if first_is_better else j) if p < LEVEL else None))
    return tuple(comparisons)


def _marks(
    metric: Metric, tools: Sequence[str], overall: Sequence[Estimate], pairs: Sequence[Comparison]
) -> tuple[Mark, ...]:
    """Marks the best of the runs that have the metric; none if they were measured differently or are all equal."""
    known = [i for i, e in enumerate(overall) if e.n]
    distinct = {overall[i].value for i in known}
    if len(distinct) < 2 or len({tools[i] for i in known}) > 1:
        return ("",) * len(overall)
    best = max(distinct) if metric.better == "up" else min(distinct)
    wins = [sum(pair.better == i for pair in pairs) for i in range(len(overall))]
    return tuple(
        "" if not e.n or e.value != best else "sure" if wins[i] == len(known) - 1 else "best"
        for i, e in enumerate(overall)
    )
