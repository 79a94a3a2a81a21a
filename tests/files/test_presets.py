"""Presets and overrides: what ships is whole, and what is misspelt is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragflow.core.config import EditConfig, InversionConfig, OptimiseConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.files.presets import (
    as_settings,
    check_config,
    describe_preset,
    dump_config,
    load_preset,
    override,
    parse_config,
    preset_names,
    why_alike,
)
from not_files import not_a_file


def test_the_presets_that_are_promised_ship() -> None:
    assert set(preset_names()) >= {"paper", "default", "fast", "paste"}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_good_and_says_what_it_is(name: str) -> None:
    assert check_config(load_preset(name)) == load_preset(name)
    assert len(describe_preset(name)) > 20
    assert parse_config(json.loads(dump_config(load_preset(name))), "dump") == load_preset(name)


def test_the_paper_preset_is_the_papers() -> None:
    assert load_preset("paper") == EditConfig()


def test_presets_differ() -> None:
    assert len({load_preset(name).hash for name in preset_names()}) == len(preset_names())


@pytest.mark.parametrize(
    ("setting", "group", "key", "value"),
    [
        ("optimise.refining=10", "optimise", "refining", 10),
        (" optimise.refining = 10 ", "optimise", "refining", 10),
        ("optimise.refining_rate=10", "optimise", "refining_rate", 10.0),
        ("optimise.refining_rate=1e-2", "optimise", "refining_rate", 0.01),
        ("optimise.rule=adam", "optimise", "rule", "adam"),
        ('optimise.rule="adam"', "optimise", "rule", "adam"),
        ("optimise.taps=['double.1.out']", "optimise", "taps", ("double.1.out",)),
        ("kv.sites=null", "kv", "sites", None),
        ("kv.rule=none", "kv", "rule", "none"),
        ("denoise.background=none", "denoise", "background", "none"),
        ("area.composite=false", "area", "composite", False),
    ],
)
def test_a_setting_is_read_by_the_type_of_its_field(setting: str, group: str, key: str, value: object) -> None:
    config = override(load_preset("paper"), [setting])
    found = getattr(getattr(config, group), key)
    assert found == value
    assert type(found) is type(value)


def test_later_settings_win_and_the_original_stays() -> None:
    base = load_preset("paper")
    assert override(base, ["seed=3", "seed=4"]).seed == 4
    assert base.seed == 0
    assert override(base, []) == base


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimise.refining", "no '='"),
        ("", "no '='"),
        ("=3", "not a known key"),
        ("refining=3", "refining is not a known key"),
        ("optimise=3", "optimise is not a known key"),
        ("optimise.refinning=3", "optimise.refinning is not a known key"),
        ("optimise.refining.more=3", "not a known key"),
        ("optimise.refining=", "optimise.refining"),
        ("optimise.refining=ten", "optimise.refining.*ten"),
        ("optimise.refining=2.5", "optimise.refining.*2.5"),
        ("optimise.refining=true", "optimise.refining.*True"),
        ("optimise.refining='3'", "optimise.refining.*'3'"),
        ("optimise.refining=-1", r"optimise.refining: .*given -1"),
        ("optimise.moving_rate=0", r"optimise.moving_rate: .*given 0"),
        ("optimise.moving_rate=nan", "optimise.moving_rate"),
        ("optimise.refining_rate=inf", "optimise.refining_rate"),
        ("optimise.guidance=nan", "optimise.guidance"),
        ("inversion.guidance=-inf", "inversion.guidance"),
        ("denoise.guidance=inf", "denoise.guidance"),
        ("area.feather=nan", "area.feather"),
        ("area.feather=inf", "area.feather"),
        ("area.feather=-1.0", r"area.feather: .*given -1"),
        ("area.margin=-1", r"area.margin: .*given -1"),
        ("inversion.steps=0", r"inversion.steps: .*given 0"),
        ("inversion.skip=25", r"inversion.skip: .*given 25"),
        ("inversion.skip=-1", r"inversion.skip: .*given -1"),
        ("start.mode=teleport", "start.mode.*teleport"),
        ("start.stride=0", r"start.stride: .*given 0"),
        ("start.repair=1.01", r"start.repair: .*given 1.01"),
        ("start.repair=nan", r"start.repair: .*given nan"),
        ("size.max_pixels=100", r"size.max_pixels: .*given 100"),
        ("seed=-1", r"seed: .*given -1"),
        ("seed=9223372036854775808", "seed"),
        ("seed=2024-01-01", "seed"),
        ("kv.sites=[1]", r"kv.sites"),
        ("kv.rule=some", "kv.rule.*some"),
    ],
)
def test_a_bad_setting_is_named(setting: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        override(load_preset("paper"), [setting])


def test_every_broken_rule_of_a_configuration_is_named() -> None:
    settings = ["inversion.steps=0", "start.mode=teleport", "optimise.refining=2.5", "kv.sites=3", "seed=-1"]
    with pytest.raises(UserError) as error:
        override(EditConfig(), settings)
    for rule in (
        "inversion.steps: input should be greater than or equal to 1 (given 0)",
        "start.mode: input should be 'source', 'warp', 'preview' or 'bridge' (given 'teleport')",
        "optimise.refining: input should be a valid integer",
        "kv.sites: input should be a valid",
        "seed: input should be greater than or equal to 0 (given -1)",
    ):
        assert rule in str(error.value)


def test_fewer_intervals_are_left_out_than_there_are() -> None:
    check_config(EditConfig(inversion=InversionConfig(steps=4, skip=3)))
    with pytest.raises(UserError, match=r"inversion\.skip: .* less than inversion\.steps, 4 \(given 4\)"):
        check_config(EditConfig(inversion=InversionConfig(steps=4, skip=4)))


def test_the_same_numbers_are_the_same_configuration() -> None:
    """A whole number for a float, as programs write it, changes no hash."""
    whole = EditConfig(optimise=OptimiseConfig(moving_rate=900))
    assert check_config(whole).hash == override(EditConfig(), ["optimise.moving_rate=900"]).hash


@pytest.mark.parametrize("scale", [None, 0.0, 0.7])
def test_the_strength_of_an_adapter_is_its_own_or_a_number_of_zero_or_more(scale: float | None) -> None:
    assert check_config(EditConfig(subject=SubjectConfig(scale=scale))).subject.scale == scale


@pytest.mark.parametrize("scale", [-0.1, float("nan")])
def test_no_other_strength_is_taken(scale: float) -> None:
    with pytest.raises(UserError, match=r"subject\.scale"):
        SubjectConfig(scale=scale)


def test_a_preset_of_ones_own_takes_the_papers_values_for_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "Mine."\nseed = 7\n[optimise]\nrefining = 3\n')
    assert load_preset(str(path)) == override(EditConfig(), ["seed=7", "optimise.refining=3"])
    assert describe_preset(str(path)) == "Mine."
    path.write_text("seed = 8\n")
    assert load_preset(str(path)).seed == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[optimise", "not TOML"),
        (b"\xff\xfe", "own.toml"),
        (b"speed = 3", "speed is not a known key"),
        (b"[optimize]\nrefining = 3", "optimize is not a known key"),
        (b"[optimise]\nrefinning = 3", r"optimise\.refinning is not a known key"),
        (b"[optimise]\nrefining = '3'", r"optimise\.refining.*'3'"),
        (b"optimise = 3", "optimise.*3"),
        (b"[inversion]\nskip = 99", r"inversion.skip: .*given 99"),
        (b"[denoise]\nguidance = nan", "denoise.guidance"),
        (b"seed = 2024-01-01", "seed"),
    ],
)
def test_a_bad_preset_file_is_refused_where_it_is_wrong(text: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=words) as error:
        load_preset(str(path))
    assert "own.toml" in str(error.value)


@pytest.mark.parametrize("name", ["superfast", "", "none.toml", "../presets/paper"])
def test_an_unknown_preset_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match=r"paper|none\.toml"):
        load_preset(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 5000, r"x\.0\.0\.0\.\.\. is nested too deeply"),
        ("seed = " + "9" * 5000, "seed: input should be a smaller number"),
    ],
)
def test_a_file_that_overwhelms_the_parser_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_preset(str(tmp_path / "p.toml"))


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000, "0x" + "f" * 5000, "-" + "9" * 400, "[" * 40 + "]" * 40])
def test_a_setting_that_overwhelms_the_parser_is_refused_by_its_key(value: str) -> None:
    with pytest.raises(UserError, match=r"^settings: area\.margin") as error:
        override(load_preset("default"), [f"area.margin={value}"])
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("kind", ["folder", "pipe", "null", "zero"])
def test_what_is_not_a_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = not_a_file(tmp_path / "p.toml", kind)
    with pytest.raises(UserError, match=r"p\.toml is a folder, a device or a pipe"):
        load_preset(path)


@pytest.mark.parametrize("name", ["a" * 400 + ".toml", "a\0.toml", None, 3, b"paper", ["paper"]])
def test_what_is_not_a_name_is_refused_in_a_sentence(name: object) -> None:
    with pytest.raises(UserError):
        load_preset(name)  # pyright: ignore[reportArgumentType]


def test_a_configuration_is_told_by_a_preset_and_what_changes_it() -> None:
    changes = ["optimise.taps=['a.0.out', 'b.\"1\".out']", "kv.rule=none", "size.window=[0, 8, 64, 72]", "seed=7"]
    for name in preset_names():
        config = override(load_preset(name), [*changes, "subject.scale=1e-5", "area.detail=true", "kv.sites=null"])
        preset, told = as_settings(config)
        assert override(load_preset(preset), [*told, "seed=7"]) == config
        assert not [setting for setting in told if setting.startswith("seed")]
    assert as_settings(override(load_preset("fast"), ["seed=3"])) == ("fast", [])
    assert as_settings(override(load_preset("fast"), ["size.window=whole"])) == ("fast", ['size.window="whole"'])


def test_why_variants_are_alike_names_preset_rule_and_fix() -> None:
    noisy = {name for name in preset_names() if why_alike(load_preset(name)) is None}
    assert noisy == {"fill", "instant", "regiondrag", "turbo"}
    rule = "draws no noise, so all variants would be the same picture"
    fix = "ask for one, or take a preset that draws noise (fill, instant, regiondrag, turbo)"
    assert why_alike(load_preset("fast")) == f"preset fast {rule}: {fix}, or set start.repair above 0"
    assert why_alike(load_preset("bridge")) == f"preset bridge {rule}: {fix}"  # which repairs nothing
    changed = override(load_preset("fast"), ["inversion.steps=9", "seed=3"])
    assert (why_alike(changed) or "").startswith("preset fast (1 setting changed) draws no noise")
    assert why_alike(override(load_preset("fast"), ["start.repair=0.3"])) is None
