"""The rule by which a sweep chooses taps and K/V sites, from tables of what was measured.

A set is chosen on some of the scenes, and compared with the model's own on others, which nothing was chosen by; else
the best of many rows would seem better than it is. It takes the place of the model's own only if the 95 % confidence
interval of its gain is clear of zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dragflow.bench.statistics import Estimate, difference, estimate
from dragflow.bench.sweep.measure import AREA, LANDING
from dragflow.bench.sweep.trials import Half
from dragflow.files.sweeps import Interval, Row

Column = Mapping[str, Mapping[str, float]]
"""Values of one trial, by measure and sample."""
Table = Mapping[str, Column]
"""Columns by the trial's name."""

FEWEST = 6
"""Scenes that a set must be compared on to be adopted: that all of fewer gain by chance is likelier than one in 20."""


def landing_gain(column: Column, base: Column) -> Estimate:
    """Median of the differences in landing distance, in pixels; negative is nearer."""
    return difference(column[LANDING], base[LANDING], "median")


def area_gain(column: Column, base: Column) -> Estimate:
    """Mean of the differences of PSNR in the area, in dB."""
    return difference(column[AREA], base[AREA])


def candidates(half: Half, alone: Table, base: Column, most: int) -> tuple[str, ...]:
    """The taps, or sites, that do best by themselves, at most so many, in the order in which they run; may be none.

    Args:
        half: what is chosen.
        alone: each by itself; one that failed on a scene that another was measured on is left out.
        base: the model's own taps without K/V, which a site is compared with.
        most: how many are chosen at most.
    """
    scenes = max((len(column[LANDING]) for column in alone.values()), default=0)
    whole = {name: column for name, column in alone.items() if len(column[LANDING]) == scenes > 0}
    fit = _near(whole) if half == "taps" else _harmless(whole, base)
    best = sorted(fit, key=lambda name: -_mean(whole[name][AREA]))[:most]
    return tuple(name for name in alone if name in best)


def _near(alone: Table) -> list[str]:
    """The tap that lands nearest, and all that do not land clearly farther than it."""
    if not alone:
        return []
    leader = min(alone.values(), key=lambda column: (_median(column[LANDING]), -_mean(column[AREA])))
    return [name for name, column in alone.items() if not landing_gain(column, leader).low > 0]


def _harmless(alone: Table, base: Column) -> list[str]:
    """The sites that neither hold the object back nor cost in the area, as far as can be seen."""
    return [
        name
        for name, column in alone.items()
        if not landing_gain(column, base).low > 0 and not area_gain(column, base).high < 0
    ]


@dataclass(frozen=True)
class Verdict:
    """Whether a set takes the place of the model's own."""

    adopted: bool
    reason: str


def verdict(chosen: Sequence[str], own: Sequence[str], columns: tuple[Column, Column] | None) -> Verdict:
    """Judge a set by its gain over the model's own.

    Args:
        chosen: the set; may be empty.
        own: the model's.
        columns: of the set and of the model's own, on scenes that nothing was chosen by.
    """
    if not chosen:
        return Verdict(False, "each costs by itself, so the model's own are kept")
    if tuple(chosen) == tuple(own):
        return Verdict(True, "the model's own are those that do best by themselves")
    told = ", ".join(chosen)
    if columns is None:
        return Verdict(False, f"{told} were compared on no scene: the model's own are kept")
    landing, area = landing_gain(*columns), area_gain(*columns)
    if area.n < FEWEST:
        return Verdict(False, f"{told} were compared on {area.n} scenes, fewer than {FEWEST}: the model's own are kept")
    by = f"{_said(landing, 1, 'px')} landing, {_said(area, 2, 'dB')} in the area"
    if landing.low > 0 or area.high < 0:
        return Verdict(False, f"{told} lose against the model's own ({by}), which are kept")
    if landing.high < 0 or area.low > 0:
        return Verdict(True, f"{told} gain over the model's own ({by})")
    return Verdict(False, f"{told} do not gain clearly over the model's own ({by}), which are kept")


def row(name: str, column: Column, tried: int, base: Column | None) -> Row:
    """A trial as the file of a sweep has it.

    Args:
        name: of the trial.
        column: what was measured.
        tried: scenes that it was tried on.
        base: what it is compared with; None for nothing.
    """
    area, target, vacated, background = (
        _known(_mean(values), 3) for measure, values in column.items() if measure != LANDING
    )
    return Row(
        name,
        scenes=len(column[LANDING]),
        failed=tried - len(column[LANDING]),
        landing=_known(_median(column[LANDING]), 2),
        area=area,
        target=target,
        vacated=vacated,
        background=background,
        landing_gain=None if base is None else _interval(landing_gain(column, base), 2),
        area_gain=None if base is None else _interval(area_gain(column, base), 3),
    )


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values) if values else math.nan


def _median(values: Mapping[str, float]) -> float:
    return estimate(values.values(), "median").value


def _known(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def _interval(found: Estimate, digits: int) -> Interval | None:
    if math.isnan(found.low):
        return None
    return round(found.value, digits), round(found.low, digits), round(found.high, digits)


def _said(found: Estimate, digits: int, unit: str) -> str:
    return f"{found.value:+.{digits}f} {unit} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"
