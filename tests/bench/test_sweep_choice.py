"""The rule by which a sweep chooses, on tables whose answer is plain."""

from __future__ import annotations

import pytest

from dragflow.bench.sweep.choose import FEWEST, Column, candidates, row, verdict
from dragflow.bench.sweep.measure import AREA, LANDING, MEASURES

SCENES = 8


def column(landing: float, area: float, *, noise: float = 0.0, scenes: int = SCENES) -> Column:
    """Every scene the same but for a noise that is now added and now taken away."""
    signs = [(-1) ** i for i in range(scenes)]
    values = {name: {str(i): 10.0 for i in range(scenes)} for name in MEASURES}
    values[LANDING] = {str(i): landing for i in range(scenes)}
    values[AREA] = {str(i): area + noise * sign for i, sign in enumerate(signs)}
    return values


OWN = column(20, 15)


def test_the_nearest_tap_is_chosen_and_what_lands_as_near_by_psnr() -> None:
    alone = {"a": column(9, 30), "b": column(5, 14), "c": column(5, 16), "d": column(5, 15), "e": column(70, 40)}
    assert candidates("taps", alone, OWN, 1) == ("c",)
    assert candidates("taps", alone, OWN, 2) == ("c", "d")
    assert candidates("taps", alone, OWN, 4) == ("b", "c", "d")


def test_a_tap_that_lands_farther_on_some_scenes_only_is_as_near() -> None:
    far = dict(column(5, 16))
    far[LANDING] = {str(i): 4.0 if i % 2 else 7.0 for i in range(SCENES)}
    assert candidates("taps", {"a": column(5, 15), "b": far}, OWN, 1) == ("b",)


def test_sites_that_lose_are_left_out() -> None:
    alone = {
        "gains": column(20, 16),
        "costs": column(20, 14),
        "holds": column(60, 17),
        "unclear": column(20, 15.1, noise=1),
        "even": column(20, 15),
    }
    assert candidates("sites", alone, OWN, 5) == ("gains", "unclear", "even")
    assert candidates("sites", alone, OWN, 2) == ("gains", "unclear")
    assert candidates("sites", {"costs": alone["costs"]}, OWN, 2) == ()


def test_what_failed_on_a_scene_is_never_chosen() -> None:
    alone = {"fails": column(0, 40, scenes=SCENES - 1), "works": column(9, 15)}
    assert candidates("taps", alone, OWN, 2) == ("works",)
    assert candidates("sites", alone, OWN, 2) == ("works",)
    assert candidates("taps", {"fails": column(0, 0, scenes=0)}, OWN, 2) == ()


@pytest.mark.parametrize(
    ("chosen", "adopted", "words"),
    [
        (column(20, 16), True, "a gain over the model's own (+0.0 px (+0.0 to +0.0) landing, +1.00 dB"),
        (column(10, 15), True, "a gain over the model's own (-10.0 px (-10.0 to -10.0) landing"),
        (column(10, 14), False, "a lose against the model's own"),
        (column(30, 16), False, "a lose against the model's own"),
        (column(20, 15.2, noise=1), False, "a do not gain clearly"),
    ],
)
def test_a_set_is_adopted_for_a_gain_that_is_clear_of_zero(chosen: Column, adopted: bool, words: str) -> None:
    found = verdict(("a",), ("b",), (chosen, OWN))
    assert found.adopted is adopted
    assert words in found.reason


def test_without_a_comparison_the_models_own_are_kept() -> None:
    assert not verdict((), ("b",), None).adopted
    assert not verdict(("a",), ("b",), None).adopted
    few = FEWEST - 1
    assert not verdict(("a",), ("b",), (column(0, 20, scenes=few), column(20, 15, scenes=few))).adopted
    assert verdict(("b",), ("b",), None).adopted


def test_a_row_has_medians_means_and_the_gain() -> None:
    made = row("a", column(12, 16, scenes=3), 5, column(20, 15))
    assert (made.scenes, made.failed, made.landing, made.area, made.background) == (3, 2, 12, 16, 10)
    assert (made.landing_gain, made.area_gain) == ((-8, -8, -8), (1, 1, 1))
    nothing = row("a", column(0, 0, scenes=0), 5, OWN)
    assert (nothing.failed, nothing.landing, nothing.area_gain) == (5, None, None)
    assert row("a", OWN, SCENES, None).area_gain is None
