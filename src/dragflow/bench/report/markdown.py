"""The tables of a report as Markdown; pictures are for the page alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dragflow.bench.metrics.catalogue import Metric
from dragflow.bench.published import CAVEAT, PublishedTable, published_for
from dragflow.bench.report import formats
from dragflow.bench.report.commands import make
from dragflow.bench.report.tables import Comparison, DataSets, Mark, Report, Section
from dragflow.bench.statistics import Estimate, Statistic

MOST_PAIRED = 6
"""Most runs of which all pairs are listed."""


def render(report: Report, data: DataSets, commands: Sequence[str]) -> str:
    """The text; `data` and `commands` as for the page."""
    lines = ["# Benchmark report", ""]
    for section in report.sections:
        lines += _section(section, report.statistic)
    definitions = ([plain(formats.title(metric)), plain(metric.source)] for metric in report.metrics)
    lines += ["## Definitions", "", *_table(["metric", "what it is"], definitions)]
    missing = [f"- {plain(what)}: {plain(why)}" for what, why in formats.absent(report)]
    if missing:
        lines += ["## Not measured", "", *missing, ""]
    lines += ["## Runs and commands", ""]
    for run in report.runs:
        facts = "; ".join(f"{name} {text}" for name, text in formats.facts(run))
        lines.append(f"- **{plain(run.header.label)}**: {plain(facts)}")
    every = [make(run, section.find(data)) for section in report.sections for run in section.runs]
    lines += ["", *(f"    {line}" for command in (*every, *commands) for line in command.splitlines())]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text of any origin as words of a table or a line: nothing in it is markup."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*\[\]|#~])", r"\\\1", escaped)
    return " ".join(re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped).split())


def _section(section: Section, statistic: Statistic) -> Iterator[str]:
    labels = [plain(label) for label in section.labels]
    yield from [f"## {plain(section.title)}", "", *_upright(["", *labels], _results(section))]
    yield from [formats.caption(statistic), ""]
    for table in section.metrics:
        if not table.comparable:
            yield from [f"{table.metric.key}: {plain(formats.not_compared(table.tools, section.labels))}", ""]
    if section.base is not None and section.others:
        yield from [f"### Against {labels[section.base]}", ""]
        yield from _upright(["", *(labels[i] for i in section.others)], _against(section))
        yield from [f"Each run less the base. {formats.comparison_caption(statistic)}", ""]
    if len(labels) > MOST_PAIRED:
        yield from [f"All pairs of {len(labels)} runs are too many for a text: they are in the page (.html).", ""]
    elif len(labels) > 1:
        heads = ["metric", "first", "second", "first − second", "samples", "p", "p, Holm", "better"]
        yield from ["### Pairs of runs", "", *_table(heads, _pairs(section, labels))]
        yield from [formats.comparison_caption(statistic), ""]
    if published := published_for(section.data_name):
        yield from ["### Published figures", "", CAVEAT, ""]
        for table in published:
            yield from _published(table)
    if any(table.groups for table in section.metrics):
        yield from ["### By category and tag", "", *_table(["metric", "group", *labels], _by_group(section))]
        if section.base is not None and section.others:
            yield from [f"### Against {labels[section.base]}, by category and tag", ""]
            yield from _table(["metric", "group", *(labels[i] for i in section.others)], _gains(section))
    if costs := formats.cost_rows(section.costs):
        yield from ["### Cost", "", *_table(["", *labels], ([name, *cells] for name, cells in costs))]
    if section.failures:
        rows = ([plain(label), plain(one.sample), one.status, plain(one.error)] for label, one in section.failures)
        yield from ["### Failures", "", *_table(["run", "sample", "what", "error"], rows)]


def _results(section: Section) -> Iterator[list[str]]:
    yield ["pictures scored", *(str(c.scored) for c in section.counts)]
    yield ["failed", *(str(c.failed) for c in section.counts)]
    yield ["unreadable samples", *(str(c.unreadable) for c in section.counts)]
    if any(c.unscored for c in section.counts):
        yield ["made since the scoring, not counted", *(str(c.unscored) for c in section.counts)]
    for table in section.metrics:
        cells = zip(table.overall, table.marks, section.counts, strict=True)
        yield [formats.title(table.metric), *(_estimate(e, table.metric, c.scored, mark) for e, mark, c in cells)]


def _against(section: Section) -> Iterator[list[str]]:
    for table in section.metrics:
        compared = {one.first: one for one in table.to_base}
        cells = [_difference(compared[i], table.metric) if i in compared else formats.NOTHING for i in section.others]
        yield [formats.title(table.metric), *cells]


def _pairs(section: Section, labels: Sequence[str]) -> Iterator[list[str]]:
    for table in section.metrics:
        digits = formats.difference_digits(table.metric)
        for pair in table.pairs:
            e = pair.difference.estimate
            value = f"{formats.number(e.value, digits, signed=True)} {formats.interval(e, digits, signed=True)}".strip()
            p, adjusted = formats.p_value(pair.difference.p), formats.p_value(pair.adjusted)
            better = "" if pair.better is None else labels[pair.better]
            yield [table.metric.key, labels[pair.first], labels[pair.second], value, str(e.n), p, adjusted, better]


def _by_group(section: Section) -> Iterator[list[str]]:
    for table in section.metrics:
        for group in table.groups:
            cells = (_estimate(e, table.metric, 0) for e in group.estimates)
            yield [formats.title(table.metric), f"{group.kind}: {plain(group.name) or 'none'}", *cells]


def _gains(section: Section) -> Iterator[list[str]]:
    for table in section.metrics:
        digits = formats.difference_digits(table.metric)
        for group in table.groups:
            cells = (_gain(group.to_base[i], digits) for i in section.others)
            yield [formats.title(table.metric), f"{group.kind}: {plain(group.name) or 'none'}", *cells]


def _gain(e: Estimate | None, digits: int) -> str:
    if e is None or not e.n:
        return formats.NOTHING
    return f"{formats.number(e.value, digits, signed=True)} {formats.interval(e, digits, signed=True)} n = {e.n}"


def _published(table: PublishedTable) -> Iterator[str]:
    yield from [f"{table.title} ({table.source}):", ""]
    heads = ["", *(formats.title(column) for column in table.columns)]
    digits = [column.digits for column in table.columns]
    yield from _table(heads, ([row.name, *map(formats.number, row.values, digits)] for row in table.rows))


def _estimate(e: Estimate, metric: Metric, scored: int, mark: Mark = "") -> str:
    value = formats.number(e.value, metric.digits)
    value = {"": value, "best": f"**{value}**", "sure": f"**{value}**\\*"}[mark]
    n = f"n = {e.n}" if e.n not in (0, scored) else ""
    return " ".join(part for part in (value, formats.interval(e, metric.digits), n) if part)


def _difference(one: Comparison, metric: Metric) -> str:
    e, digits = one.difference.estimate, formats.difference_digits(metric)
    verdict = "" if one.better is None else "▲" if one.better == one.first else "▼"
    value = formats.number(e.value, digits, signed=True)
    parts = (value, verdict, formats.interval(e, digits, signed=True), f"p {formats.p_value(one.adjusted)}")
    return " ".join(part for part in parts if part)


def _upright(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The table, transposed if that makes it narrower: pages scroll down better than sideways."""
    every = [heads, *rows]
    if len(heads) > len(every):
        every = list(zip(*every, strict=True))
    return _table(every[0], every[1:])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown, and an empty line."""
    return [_line(heads), f"|{'---|' * len(heads)}", *(_line(row) for row in rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
