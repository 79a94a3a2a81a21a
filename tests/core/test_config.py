"""Configurations: the hash tells settings apart, the rules name what they break."""

from __future__ import annotations

from dataclasses import replace

from dragflow.core.config import EditConfig, InversionConfig, OptimiseConfig, SubjectConfig, validate


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
    assert validate(config) == []


def test_every_broken_rule_is_named() -> None:
    broken = replace(EditConfig(), inversion=InversionConfig(steps=4, skip=4), seed=-1)
    sentences = " ".join(validate(broken))
    assert "inversion.skip is 4" in sentences
    assert "seed is -1" in sentences


def test_the_strength_of_an_adapter_is_its_own_or_a_number_of_zero_or_more() -> None:
    for scale, fine in ((None, True), (0.0, True), (0.7, True), (-0.1, False), (float("nan"), False)):
        sentences = validate(EditConfig(subject=SubjectConfig(scale=scale)))
        assert (sentences == []) is fine
        assert all("subject.scale" in sentence for sentence in sentences)
