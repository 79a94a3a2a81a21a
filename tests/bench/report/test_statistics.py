"""Intervals and tests against closed forms, enumeration by hand and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dragflow.bench.statistics import FLIPS, Estimate, Statistic, estimate, holm, paired, sign_flip

RNG = np.random.default_rng(7)


def test_no_value_and_one_value_have_no_interval() -> None:
    none, one = estimate([]), estimate([3.5])
    assert none.n == 0
    assert math.isnan(none.value)
    assert (one.n, one.value) == (1, 3.5)
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate([2.0] * 9) == Estimate(9, 2.0, 2.0, 2.0)


def test_mean_of_two_values_has_the_interval_of_its_three_resamples() -> None:
    # (0,0), (0,1) or (1,0), (1,1): a quarter of all resamples lies at either end.
    assert estimate([0.0, 1.0]) == Estimate(2, 0.5, 0.0, 1.0)


def test_median_is_not_moved_by_one_outlier() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 1000.0]
    assert estimate(values, "median").value == 3.0
    assert estimate(values).value == 202.0


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_interval_is_that_of_scipys_percentile_bootstrap(statistic: Statistic) -> None:
    values = RNG.gamma(2.0, size=60)
    ours = estimate(values, statistic)
    theirs = stats.bootstrap(
        (values,), getattr(np, statistic), n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.05)
    assert ours.high == pytest.approx(theirs.high, abs=0.05)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    found = [estimate(RNG.normal(5.0, 2.0, 40)) for _ in range(300)]
    covered = np.mean([e.low <= 5.0 <= e.high for e in found])
    assert 0.89 < covered < 0.98
    assert np.mean([e.high - e.low for e in found]) == pytest.approx(2 * 1.96 * 2.0 / math.sqrt(40), rel=0.08)


def test_the_same_values_give_the_same_interval() -> None:
    values = RNG.normal(size=50)
    assert estimate(values) == estimate(values.copy())


def test_large_samples_are_drawn_in_blocks() -> None:
    values = RNG.normal(size=3001)  # 4000 resamples do not fit one block
    found = estimate(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_exact_p_is_the_enumeration_by_hand(statistic: Statistic) -> None:
    d = [0.9, -0.2, 1.4, 0.3, 2.0, -0.1]
    take = getattr(np, statistic)
    moved = [
        abs(take([s * v for s, v in zip(signs, d, strict=True)])) for signs in itertools.product((1, -1), repeat=6)
    ]
    assert sign_flip(d, statistic) == np.mean([m >= abs(take(d)) - 1e-12 for m in moved])


@pytest.mark.parametrize("n", [1, 3, 8, 13])
def test_pairs_of_one_sign_have_the_smallest_p_there_is(n: int) -> None:
    assert sign_flip(list(RNG.uniform(0.5, 1.0, n))) == 2 / 2**n


def test_exact_p_equals_scipys() -> None:
    d = RNG.normal(0.4, 1.0, 11)
    theirs = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2**11)
    assert sign_flip(list(d)) == pytest.approx(theirs.pvalue)


def test_drawn_p_is_near_the_t_tests() -> None:
    d = RNG.normal(0.25, 1.0, 80)
    t = d.mean() / (d.std(ddof=1) / math.sqrt(len(d)))
    assert sign_flip(list(d)) == pytest.approx(2 * stats.t.sf(abs(t), len(d) - 1), abs=0.015)


def test_drawn_p_is_never_zero() -> None:
    assert sign_flip([1.0] * 60) == 1 / (FLIPS + 1)


@pytest.mark.parametrize("n", [5, 40])
def test_no_difference_at_all_has_p_1(n: int) -> None:
    assert sign_flip([0.0] * n) == 1.0


def test_p_of_no_effect_is_uniform() -> None:
    p = [sign_flip(list(RNG.normal(size=10))) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_pairs_are_the_samples_that_both_have() -> None:
    found = paired({"a": 3.0, "b": 5.0, "only here": 90.0}, {"b": 1.0, "a": 2.0, "only there": -90.0})
    assert (found.estimate.n, found.estimate.value) == (2, 2.5)
    assert found.p == 0.5  # of the four sign patterns two lie as far


def test_without_pairs_there_is_no_difference() -> None:
    found = paired({"a": 1.0}, {"b": 1.0})
    assert found.estimate.n == 0
    assert math.isnan(found.p)


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, then 0.03 * 2 = 0.06, then 0.04 * 1 raised to what came before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested() -> None:
    adjusted = holm([math.nan, 0.02, 0.04])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.04, 0.04])


@pytest.mark.parametrize("n", [1, 2, 7, 8, 205])
def test_the_median_is_numpys(n: int) -> None:
    values = RNG.normal(size=n)
    assert estimate(values, "median").value == np.median(values)
