"""Tables: medians, shares, paired differences and their intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dragflow.bench import table
from dragflow.bench.world import Record

NAN = math.nan
ONE = Record("a", "h", 0, "translate", ("shadow",), 20.0, 19.0, 18.0, 0.8, 1.0, NAN, NAN, True, 2.0, 3.0)


def records(setting: str, areas: list[float]) -> list[Record]:
    return [replace(ONE, setting=setting, scene=i, area=a) for i, a in enumerate(areas)]


def test_a_row_holds_medians_and_shares() -> None:
    made = [replace(ONE, landing=e) for e in (0.0, 3.0, 9.0)]
    turned = replace(ONE, kind="rotate", landing=50.0, angle=7.0, outside=False)
    found = table.row([*made, turned])
    assert found.landing == 3.0
    assert found.landed == pytest.approx(2 / 3)
    assert (found.angle, found.identical) == (7.0, False)
    assert (found.first_seconds, found.again_seconds) == (5.0, 3.0)
    assert math.isnan(found.ratio)


def test_a_constant_gain_has_no_spread() -> None:
    base = records("base", [20.0, 22.0, 25.0])
    found = table.difference([replace(r, area=r.area + 1.5) for r in base], base, lambda r: r.area)
    assert (found.scenes, found.mean, found.low, found.high) == (3, 1.5, 1.5, 1.5)


def test_the_interval_is_that_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    gains = rng.normal(0.3, 1.0, 400)
    base = records("base", [20.0] * 400)
    found = table.difference(records("ours", list(20 + gains)), base, lambda r: r.area)
    half = 1.96 * gains.std() / 20
    assert found.mean == pytest.approx(gains.mean())
    assert found.low == pytest.approx(gains.mean() - half, abs=0.02)
    assert found.high == pytest.approx(gains.mean() + half, abs=0.02)


def test_only_scenes_that_both_have_are_compared() -> None:
    found = table.difference(records("ours", [21.0, NAN, 30.0]), records("base", [20.0, 20.0]), lambda r: r.area)
    assert (found.scenes, found.mean) == (1, 1.0)
    assert table.difference([], [], lambda r: r.area).scenes == 0


def test_scenes_are_split_by_context() -> None:
    plain = replace(ONE, scene=1, context=())
    both = [ONE, plain]
    assert table.in_context(both, "any") == [ONE]
    assert table.in_context(both, "shadow") == [ONE]
    assert table.in_context(both, "light") == []
    assert table.in_context(both, "plain") == [plain]


def test_the_tables_hold_every_setting() -> None:
    made = [*records("no-model", [20.0, 21.0]), *records("default", [22.0, 23.0])]
    text = table.markdown(made, "no-model")
    assert "| no-model | 2 | 1.0 | 100 % | - | - | 20.5 |" in text
    assert "| default | any | 2 | +2.00 (+2.00 to +2.00) | +0.000 (+0.000 to +0.000) |" in text
    assert "plain" not in text
    assert "Gain" not in table.markdown(made, "absent")
    data = table.summary(made, "no-model")
    assert data["base"] == "no-model"
    assert data["gains"]["default"]["any"]["area"]["mean"] == 2.0  # pyright: ignore[reportIndexIssue]
    assert data["rows"][0]["angle"] is None  # pyright: ignore[reportIndexIssue]
