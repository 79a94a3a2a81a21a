"""One page that holds everything, its style, script and pictures included, and needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dragflow.bench.published import CAVEAT, PublishedTable, published_elsewhere, published_for
from dragflow.bench.report import formats, plots
from dragflow.bench.report.build import values
from dragflow.bench.report.commands import make
from dragflow.bench.report.gallery import SIDE, Entry, gallery
from dragflow.bench.report.tables import DataSets, Report, Section
from dragflow.bench.sample import DataSet

PALETTE = 8
"""Colours that the style has for runs; further runs reuse them."""


@dataclass(frozen=True)
class View:
    """A section and everything that only a page shows of it."""

    section: Section
    plots: tuple[plots.Plot, ...]
    """One for each metric."""
    entries: tuple[Entry, ...]
    published: tuple[PublishedTable, ...]
    commands: tuple[str, ...]
    """One for each run."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Of the samples in the gallery."""
        return tuple(sorted({entry.category for entry in self.entries if entry.category}))

    @property
    def sortable(self) -> dict[str, object]:
        """What the script sorts and filters the gallery by."""
        metrics = [table.metric for table in self.section.metrics]
        return {
            "metrics": [{"key": m.key, "digits": m.digits, "unit": m.unit, "better": m.better} for m in metrics],
            "entries": [
                {
                    "category": entry.category,
                    "scores": [{key: float(f"{value:.6g}") for key, value in one.items()} for one in entry.scores],
                }
                for entry in self.entries
            ],
        }


def render(
    report: Report, data: DataSets, shown: int | None, commands: Sequence[str], left_out: Sequence[str] = ()
) -> str:
    """The page; equal input gives equal text.

    Args:
        report: what to show.
        data: data sets by what the runs' headers name.
        shown: at most so many samples in a gallery.
        commands: lines that reproduce scores and report.
        left_out: what the figures cannot be compared in, a line each.
    """
    views = [_view(section, section.find(data), shown) for section in report.sections]
    style, script = _file("report.css"), _file("report.js")
    page = _environment().get_template("report.html")
    return page.render(
        report=report,
        views=views,
        elsewhere=published_elsewhere() if any(view.published for view in views) else (),
        commands=commands,
        left_out=left_out,
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


def _view(section: Section, data: DataSet | None, shown: int | None) -> View:
    def plot(index: int) -> plots.Plot:
        table = section.metrics[index]
        measured = [tuple(values(run, table.metric.key).values()) for run in section.runs]
        return plots.strip_plot(section.labels, measured, table.overall)

    return View(
        section=section,
        plots=tuple(plot(i) for i in range(len(section.metrics))),
        entries=tuple(gallery(section, data, shown)),
        published=published_for(section.data_name),
        commands=tuple(make(run, data) for run in section.runs),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dragflow.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(formats, name) for name in ("number", "interval", "p_value", "title")}
    environment.globals |= {"formats": formats, "drawing": plots, "palette": PALETTE, "caveat": CAVEAT, "side": SIDE}
    return environment


def _file(name: str) -> Markup:
    """One of our own files, not to be escaped."""
    folder = resources.files("dragflow.bench.report") / "templates"
    return Markup(folder.joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    """The digest by which the page's security policy allows its own style and script, and nothing else."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
