"""The tables and the figure of a sweep: what every tap and every K/V site is worth, by depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragflow.bench.sweep.trials import HALVES, OWN, STILL, Half
from dragflow.core.errors import UserError
from dragflow.core.extras import extra
from dragflow.files.atomic import replacing, write_text
from dragflow.files.sweeps import Found, Interval, Row, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".md", ".svg", ".png")
_BASE: dict[Half, str] = {"taps": OWN, "sites": STILL}
_TITLES: dict[Half, str] = {"taps": "tap compared", "sites": "K/V site, mapped"}
_GAINS = (("landing_gain", "landing, px (nearer is less)"), ("area_gain", "PSNR in the area, dB"))


def check_report(path: Path) -> None:
    """Refuse a report of another kind, or one that cannot be drawn here.

    Raises:
        UserError: another suffix.
        CapabilityError: the library that draws is missing.
    """
    if path.suffix not in KINDS:
        raise UserError(f"report {path} is none of {', '.join(KINDS)}: end its name in one of these")
    if path.suffix != ".md":
        with extra("bench", f"a {path.suffix} of a sweep"):
            import matplotlib  # noqa: F401


def write_report(sweep: Sweep, path: Path) -> None:
    """Write the tables (.md) or the figure (.svg, .png).

    Raises:
        UserError: it cannot be written.
    """
    if path.suffix == ".md":
        write_text(path, "\n".join(markdown(sweep)) + "\n")
    else:
        _draw(sweep, path)


def _swept(sweep: Sweep) -> Iterator[tuple[Half, Found]]:
    for half in HALVES:
        found: Found | None = getattr(sweep, half)
        if found is not None:
            yield half, found


def markdown(sweep: Sweep) -> Iterator[str]:
    """The lines of the tables."""
    for half, found in _swept(sweep):
        yield from (f"## {half.capitalize()} of {sweep.model}", "")
        yield f"Used: {', '.join(found.chosen)} ({found.reason})."
        yield from ("", *_table(_TITLES[half], found.rows, _BASE[half]), "")
        if found.confirmed:
            yield from ("On scenes that nothing was chosen by:", "", *_table("set", found.confirmed, OWN), "")


def _table(title: str, rows: Sequence[Row], base: str) -> Iterator[str]:
    heads = [title, "scenes", "landing, px", "area, dB", "target, dB", "vacated, dB"]
    heads += [f"landing less that of {base}, px", f"area over {base}, dB"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        scenes = f"{row.scenes}" + (f", {row.failed} failed" if row.failed else "")
        cells = [
            row.name,
            scenes,
            _number(row.landing, 1),
            *(_number(x, 2) for x in (row.area, row.target, row.vacated)),
        ]
        yield f"| {' | '.join([*cells, _told(row.landing_gain, 1), _told(row.area_gain, 2)])} |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _told(gain: Interval | None, digits: int) -> str:
    if gain is None:
        return ""
    value, low, high = (f"{x:+.{digits}f}" for x in gain)
    return f"{value} ({low} to {high})"


def _draw(sweep: Sweep, path: Path) -> None:
    """Gains over the model's own taps, or over no K/V, with their intervals: a column of each half."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    halves = list(_swept(sweep))
    figure = Figure(figsize=(5.2 * len(halves), 5.6), layout="constrained")
    axes: Any = figure.subplots(len(_GAINS), len(halves), sharex="col", squeeze=False)
    for column, (half, found) in enumerate(halves):
        rows = [row for row in found.rows if row.name != _BASE[half]]
        for line, (key, label) in enumerate(_GAINS):
            _panel(axes[line, column], rows, key, found.chosen)
            axes[line, column].set_ylabel(label)
        axes[0, column].set_title(f"{_TITLES[half]}, less {'its own taps' if half == 'taps' else 'no K/V'}")
        axes[-1, column].set_xticks(range(len(rows)), [row.name for row in rows], rotation=60, ha="right")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sweep"}), replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=110, metadata={"Date": None} if path.suffix == ".svg" else {})


def _panel(axis: Axes, rows: Sequence[Row], key: str, chosen: Sequence[str]) -> None:
    """One measure of every row; what was chosen is filled."""
    for x, row in enumerate(rows):
        gain: Interval | None = getattr(row, key)
        if gain is None:
            continue
        value, low, high = gain
        colour = "C1" if row.name.endswith(".norm") or row.name.startswith("single.") else "C0"
        axis.errorbar(
            x,
            value,
            [[max(value - low, 0)], [max(high - value, 0)]],
            fmt="o",
            color="0.4" if row.name in (OWN, STILL) else colour,
            markerfacecolor=colour if row.name in chosen else "white",
        )
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.grid(alpha=0.3)
