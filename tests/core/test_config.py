"""Configurations: the hash tells settings apart, the defaults are the paper's."""

from __future__ import annotations

from dataclasses import replace

from dragflow.core.config import EditConfig, OptimiseConfig


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
