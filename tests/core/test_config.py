"""Configurations: the hash tells settings apart, the defaults are the paper's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dragflow.core.config import EditConfig, OptimiseConfig
from dragflow.core.errors import UserError


def test_the_hash_changes_with_any_field_and_with_nothing_else() -> None:
    config = EditConfig()
    assert config.hash == EditConfig().hash
    assert replace(config, seed=1).hash != config.hash
    assert replace(config, optimise=OptimiseConfig(moving_rate=999.0)).hash != config.hash


def test_the_defaults_are_the_papers_numbers() -> None:
    config = EditConfig()
    assert (config.inversion.steps, config.inversion.skip) == (25, 6)
    assert (config.optimise.moving, config.optimise.refining) == (50, 20)
    assert (config.optimise.moving_rate, config.optimise.refining_rate) == (1000.0, 1200.0)
    assert (config.inversion.guidance, config.optimise.guidance, config.denoise.guidance) == (1.0, 3.5, 3.5)


def test_settings_are_changed_by_group() -> None:
    config = EditConfig().with_(optimise={"refining": 2}, seed=7)
    assert (config.optimise.refining, config.seed) == (2, 7)
    assert config.with_(optimise={}) == config


@pytest.mark.parametrize("settings", [{"speed": 1}, {"optimise": {"speed": 1}}, {"optimise": 3}, {"optimise": None}])
def test_a_setting_that_does_not_exist_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        EditConfig().with_(**settings)


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({}, False),
        ({"inversion": {"mode": "noised"}}, True),
        ({"start": {"mode": "warp", "fill": "noise"}}, True),
        ({"start": {"mode": "warp"}}, False),
        ({"start": {"fill": "noise"}}, False),
        ({"start": {"mode": "preview", "repair": 0.1}}, True),
        ({"start": {"repair": 0.1}}, False),
        ({"start": {"mode": "bridge", "repair": 0.1}}, True),
        ({"start": {"mode": "bridge", "repair": 0.1}, "optimise": {"moving": 0, "refining": 0}}, False),
    ],
)
def test_noise_is_drawn_where_the_seed_is_used(settings: dict[str, object], drawn: bool) -> None:
    assert EditConfig().with_(**settings).draws_noise is drawn
