"""Strip plots of a metric as geometry: every sample a dot, the quartiles, the estimate with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragflow.bench.report.formats import number
from dragflow.bench.statistics import Estimate

WIDTH, ROW, TOP, BOTTOM, EDGE = 340, 44, 2, 18, 10
"""Units of the drawing: its width, height of a run, margins at top, bottom and both sides."""
_DOTS = 14
"""Height over which the dots of a run are spread."""
_LABEL = 48
"""Longest label that fits the width."""


@dataclass(frozen=True)
class Strip:
    """One run, with its positions in the drawing."""

    run: int
    label: str
    y: float
    """Top of the row."""
    dots: str
    """Path of all samples: a point for each, drawn by its round cap."""
    box: tuple[float, float, float]
    """Quartiles and median."""
    value: float
    """Mean or median."""
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Plot:
    """A drawing of the runs that have a metric."""

    height: float
    strips: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]
    """Place and text."""


def strip_plot(labels: Sequence[str], measured: Sequence[Sequence[float]], overall: Sequence[Estimate]) -> Plot:
    """Lay out the values of a metric, those of each run in a row."""
    everything = [value for one in measured for value in one]
    low, high = min(everything), max(everything)
    marks = ticks(low, high) if low < high else [(low, f"{low:g}")]
    if low == high:
        low, high = low - 0.5, high + 0.5
    scale = (WIDTH - 2 * EDGE) / (high - low)

    def place(value: float) -> float:
        return round(EDGE + (value - low) * scale, 1)

    strips: list[Strip] = []
    for i, (label, one, e) in enumerate(zip(labels, measured, overall, strict=True)):
        if not one:
            continue
        y = TOP + ROW * len(strips)
        quartiles = [place(float(q)) for q in np.percentile(one, (25, 50, 75))]
        strips.append(
            Strip(
                run=i,
                label=label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…",
                y=y,
                dots="".join(f"M{place(value)} {y + 16 + _height(k):.1f}h0" for k, value in enumerate(one)),
                box=(quartiles[0], quartiles[1], quartiles[2]),
                value=place(e.value),
                interval=None if math.isnan(e.low) else (place(e.low), place(e.high)),
            )
        )
    return Plot(TOP + ROW * len(strips) + BOTTOM, tuple(strips), tuple((place(value), text) for value, text in marks))


def _height(k: int) -> float:
    """Height of the k-th dot in its row: multiples of the golden ratio spread evenly, regardless of their number."""
    return _DOTS * (k * (math.sqrt(5) - 1) / 2 % 1)


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to seven round numbers from `low` to `high`, which must differ."""
    span = (high - low) * (1 + 1e-9)
    power = 10.0 ** math.floor(math.log10(span / 3))
    step = next(m * power for m in (5, 2, 1) if span / (m * power) >= 3)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step - 1e-9)
    return [(k * step, number(k * step, digits)) for k in range(first, math.floor(high / step + 1e-9) + 1)]
