"""Writing a report: one HTML page, Markdown or CSV, depending on the name of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dragflow.bench.report import commands
from dragflow.bench.report.build import build
from dragflow.bench.report.tables import DataSets, Report
from dragflow.bench.runs import ScoredRun
from dragflow.bench.statistics import Statistic
from dragflow.core.errors import UserError
from dragflow.core.extras import extra
from dragflow.core.text import lines
from dragflow.files.atomic import write_text
from dragflow.files.outputs import check_writable

SUFFIXES = (".html", ".md", ".csv")


def write_report(
    runs: Sequence[ScoredRun],
    data: DataSets,
    out: Path,
    *,
    base: str | None = None,
    statistic: Statistic = "mean",
    metrics: tuple[str, ...] | None = None,
    gallery: int | None = None,
) -> None:
    """Write one report of scored runs atomically; equal input gives equal bytes.

    Args:
        runs: with their scores; those on one data set are compared with each other.
        data: to draw sources, instructions and truths.
        out: .html, .md or .csv.
        base: label of the run that others are compared with; the first on each data set when None.
        statistic: what tables show.
        metrics: keys of those shown, in their order; all that were measured when None.
        gallery: at most so many samples in the gallery of a page.

    Raises:
        UserError: another suffix, an option that it has no use for, a file that cannot be written, no runs, two with
            one label on the same data, an unknown base, an unknown or unmeasured metric.
        CapabilityError: a page without jinja2.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"report {out} must end in one of {', '.join(SUFFIXES)}: the suffix decides what is written")
    unused = {
        "gallery": gallery is not None and suffix != ".html",
        "base": base is not None and suffix == ".csv",
        "statistic": statistic != "mean" and suffix == ".csv",
    }
    for name in (name for name, given in unused.items() if given):
        raise UserError(f"`{name}` has no effect on a report {suffix}: leave it out, or name the report .html")
    check_writable(out)
    again = [*commands.score(runs), commands.report(runs, suffix, base, statistic, metrics, gallery)]
    render = _renderer(suffix, data, metrics, gallery, again)  # what is missing is said before the work
    text = render(build(runs, base, statistic, metrics))
    write_text(out, text if suffix == ".html" else lines(text))  # a page is escaped; the others are read in terminals


def _renderer(
    suffix: str,
    data: DataSets,
    metrics: tuple[str, ...] | None,
    gallery: int | None,
    again: Sequence[str],
) -> Callable[[Report], str]:
    if suffix == ".html":
        with extra("bench", "an HTML report"):
            from dragflow.bench.report import html

        return lambda report: html.render(report, data, gallery, again)
    if suffix == ".md":
        from dragflow.bench.report import markdown

        return lambda report: markdown.render(report, data, again)
    from dragflow.bench.report import text_csv

    return lambda report: text_csv.render(report, metrics)
