"""The one table of a study: what was measured, beside what the papers print for the same data sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from dragflow.bench.metrics.catalogue import BY_KEY, Metric
from dragflow.bench.published import CAVEAT, PublishedTable, published_for
from dragflow.bench.real.study import SEED, SETS, Circumstances
from dragflow.bench.report import formats
from dragflow.bench.report.build import build
from dragflow.bench.report.markdown import plain
from dragflow.bench.report.tables import Cost, Section
from dragflow.bench.runs import ScoredRun
from dragflow.bench.statistics import Estimate

QUALITY = ("IF_bg", "IF_s2t", "IF_s2s", "MD1", "MD2")
"""Metrics that the paper's tables have."""
_COST = ("time", "memory")
"""Columns of the paper's table of costs."""
_UNMEASURED = "not measured"


def table(runs: Sequence[ScoredRun], told: Circumstances) -> str:
    """The table as Markdown, with what it leaves out and what it was made with; equal input gives equal text."""
    report = build(runs, None, "mean", None)
    titles = [formats.title(BY_KEY[key]) for key in QUALITY]
    heads = ["data set", "method", "figures of", *titles, "s ↓", "GB ↓", "pictures"]
    rows = [row for section in report.sections for row in _rows(section, told)]
    lines = ["# dragflow on published data sets", "", *_lines([heads, ["---"] * len(heads), *rows]), ""]
    lines += [
        "Measured here: means, with 95 % confidence intervals by bootstrap over the samples; seconds are the median of "
        "a first edit, GB the peak memory of the accelerator, without one that of the whole process.",
        "",
        CAVEAT,
        "",
        "## Not compared",
        "",
        *(f"- {plain(line)}" for line in left_out(runs, told)),
        "",
        "## Made with",
        "",
        *(f"- {plain(line)}" for line in _made_with(runs, told)),
    ]
    return "\n".join(lines) + "\n"


def left_out(runs: Sequence[ScoredRun], told: Circumstances) -> Iterator[str]:
    """What cannot be compared with the papers, by name, and why."""
    reasons: dict[str, list[str]] = {}
    for key, reason in (item for run in runs for item in run.tools.absent.items()):
        keys = reasons.setdefault(reason, [])
        if key not in keys:
            keys.append(key)
    yield from (f"{', '.join(keys)}: {reason}" for reason, keys in reasons.items())
    for name in SETS:
        if name not in told.available:
            yield f"{name}: its folder was not given"
        elif not any(run.header.data_name == name for run in runs):
            yield f"{name}: no picture of it was made"
        elif not published_for(name):
            yield f"{name}: the paper has no figures for it; what was measured is in the page"
    if told.limit is not None:
        yield f"every data set as a whole: only the first {told.limit} samples of each were run"


def _rows(section: Section, told: Circumstances) -> Iterator[list[str]]:
    name = section.data_name
    estimates = {one.metric.key: one.overall for one in section.metrics}
    for i, run in enumerate(section.runs):
        cells = [_estimate(BY_KEY[key], estimates, i) for key in QUALITY]
        pictures = f"{section.counts[i].scored} of {told.available[name]}"
        yield [name, f"**{plain(run.header.label)}**", "this machine", *cells, *_costs(section.costs[i]), pictures]
    for method, source, values in _published(name):
        cells = [_number(values.get(key), digits) for key, digits in _columns(name)]
        yield [_called(name), method, source, *cells, ""]


def _estimate(metric: Metric, estimates: dict[str, tuple[Estimate, ...]], run: int) -> str:
    if metric.key not in estimates or not estimates[metric.key][run].n:
        return _UNMEASURED
    e = estimates[metric.key][run]
    return f"{formats.number(e.value, metric.digits)} {formats.interval(e, metric.digits)}".strip()


def _costs(cost: Cost) -> tuple[str, str]:
    return formats.number(cost.first_seconds, 1), formats.number(cost.peak_memory_mib * 2**20 / 1e9, 1)


def _published(name: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """The methods of the papers' main tables on a data set: their names, where they are printed, figures by column."""
    quality, cost = _of(name, QUALITY), _of(name, _COST)
    if quality is None:
        return
    costs = {row.name: row.values for row in cost.rows} if cost is not None else {}
    for row in quality.rows:
        values: dict[str, float] = dict(zip(QUALITY, row.values, strict=True))
        values |= zip(_COST, costs.get(row.name, ()), strict=False)
        yield row.name, plain(quality.source), values


def _of(name: str, columns: Sequence[str]) -> PublishedTable | None:
    """The first table of a data set with these columns, which is the one that compares methods."""
    tables = published_for(name)
    return next((one for one in tables if [column.key for column in one.columns] == list(columns)), None)


def _called(name: str) -> str:
    """What the papers call a data set."""
    table = _of(name, QUALITY)
    return table.data if table is not None else name


def _columns(name: str) -> Iterator[tuple[str, int]]:
    yield from ((key, BY_KEY[key].digits) for key in QUALITY)
    cost = _of(name, _COST)
    digits = [column.digits for column in cost.columns] if cost is not None else [1] * len(_COST)
    yield from zip(_COST, digits, strict=True)


def _number(value: float | None, digits: int) -> str:
    return formats.number(math.nan if value is None else value, digits)


def _made_with(runs: Sequence[ScoredRun], told: Circumstances) -> Iterator[str]:
    yield from (f"machine: {line}" for line in told.machine)
    seen: dict[str, None] = {}
    for run in runs:
        facts = dict(formats.facts(run))
        if run.header.weights is not None:
            names = ("model", "fingerprint of its weights", "subject adapter", "fingerprint of the adapter's weights")
            seen |= dict.fromkeys(f"{name}: {facts[name]}" for name in names if name in facts)
            seen[f"{run.header.label}: configuration {facts['configuration']}, seed {SEED}"] = None
        seen |= dict.fromkeys(f"{name}: {facts[name]}" for name in ("versions", "perceptual distance"))
        seen[f"matched features: {facts['matched features']}"] = None
    yield from seen


def _lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    return (f"| {' | '.join(row)} |" for row in rows)
