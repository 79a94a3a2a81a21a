"""Intervals and tests for means and medians: percentile bootstrap (Efron), sign-flip permutation test, Holm (1979)."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mean", "median"]
Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Values, int], Values]
"""A number of resamples (rows, n) of values (n)."""

RESAMPLES = 4000
FLIPS = 10_000
EXACT = 12
"""Up to so many pairs every one of the 2^n ways to flip their signs is counted."""
_BLOCK = 2_000_000
"""Values drawn at a time, so that memory stays small whatever n is."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """Mean or median of a sample, and its 95 % confidence interval."""

    n: int
    value: float
    """NaN of no values."""
    low: float
    """NaN of less than two values, like `high`."""
    high: float


@dataclass(frozen=True)
class Difference:
    """How far one run is from another on the samples that both have."""

    estimate: Estimate
    """Mean or median of the first's value less the second's."""
    p: float
    """Two-sided, of the hypothesis that it is as likely to be of either sign; NaN without pairs."""

    @property
    def negated(self) -> Difference:
        """The second less the first."""
        e = self.estimate
        return Difference(Estimate(e.n, -e.value, -e.high, -e.low), self.p)


def estimate(values: Iterable[float], statistic: Statistic = "mean") -> Estimate:
    """Mean or median with a bootstrap interval; the same values give the same interval."""
    x = np.array(list(values), dtype=np.float64)
    if len(x) == 0:
        return Estimate(0, math.nan, math.nan, math.nan)
    value = float(_reduce(statistic, x[None])[0])
    if len(x) == 1:
        return Estimate(1, value, math.nan, math.nan)
    low, high = np.percentile(_resampled(statistic, x, _with_replacement, RESAMPLES), (2.5, 97.5))
    return Estimate(len(x), value, float(low), float(high))


def difference(first: Mapping[K, float], second: Mapping[K, float], statistic: Statistic = "mean") -> Estimate:
    """Mean or median of `first` less `second` on the samples that both have, with its interval."""
    return estimate(_differences(first, second), statistic)


def paired(first: Mapping[K, float], second: Mapping[K, float], statistic: Statistic = "mean") -> Difference:
    """The same with its test."""
    return Difference(difference(first, second, statistic), sign_flip(_differences(first, second), statistic))


def _differences(first: Mapping[K, float], second: Mapping[K, float]) -> list[float]:
    return [value - second[key] for key, value in first.items() if key in second]


def sign_flip(differences: Sequence[float], statistic: Statistic = "mean") -> float:
    """Share of the ways to flip signs that move mean or median as far from 0 as it is: exact, or of `FLIPS` draws.

    Drawn flips count the observed signs as one of the draws, so that p is never 0.
    """
    d = np.array(differences, dtype=np.float64)
    if len(d) == 0:
        return math.nan
    exact = len(d) <= EXACT
    if exact:
        signs = 1.0 - 2.0 * (np.arange(2 ** len(d))[:, None] >> np.arange(len(d)) & 1)
        moved = _reduce(statistic, signs * d)
    else:
        moved = _resampled(statistic, d, _flipped, FLIPS)
    rounding = 1e-12 * float(np.abs(d).max())  # sums in another order must not count as smaller
    as_far = int((np.abs(moved) >= abs(_reduce(statistic, d[None])[0]) - rounding).sum())
    return as_far / len(moved) if exact else (as_far + 1) / (FLIPS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being a family (Holm, 1979), in the same order; NaN stays, and is not counted."""
    ranked = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    adjusted = list(p)
    so_far = 0.0
    for rank, (value, i) in enumerate(ranked):
        so_far = max(so_far, min(1.0, (len(ranked) - rank) * value))
        adjusted[i] = so_far
    return adjusted


def _reduce(statistic: Statistic, rows: Values) -> Values:
    return rows.mean(axis=1) if statistic == "mean" else np.asarray(np.median(rows, axis=1))


def _resampled(statistic: Statistic, x: Values, draw: Draw, count: int) -> Values:
    """The statistic of `count` resamples."""
    random = np.random.default_rng(0)
    size = max(1, _BLOCK // len(x))
    blocks = [min(size, count - start) for start in range(0, count, size)]
    return np.concatenate([_reduce(statistic, draw(random, x, rows)) for rows in blocks])


def _with_replacement(random: np.random.Generator, x: Values, rows: int) -> Values:
    return x[random.integers(0, len(x), (rows, len(x)))]


def _flipped(random: np.random.Generator, x: Values, rows: int) -> Values:
    return x * (1.0 - 2.0 * random.integers(0, 2, (rows, len(x)), dtype=np.int8))
