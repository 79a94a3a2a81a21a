"""Presets and overrides: TOML files to `EditConfig`, strictly typed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dragflow.core.config import EditConfig
from dragflow.core.errors import CapabilityError, UserError, not_a, shown
from dragflow.files import schema
from dragflow.files.texts import read_text

_STEPS = "inversion.steps"


def preset_names() -> tuple[str, ...]:
    """The presets that ship with dragflow."""
    folder = resources.files("dragflow.files") / "presets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_preset(name: str | PathLike[str]) -> EditConfig:
    """A preset by its name, or by the path of a TOML file.

    Raises:
        UserError: unknown name, no such file, broken TOML, unknown key, wrong type, value out of range.
    """
    if not isinstance(name, str | PathLike):
        raise not_a("a preset", name, "its name, or the path of a .toml file")
    return _preset(str(name))[0]


def describe_preset(name: str) -> str:
    """The one-line description of a preset."""
    return _preset(name)[1]


def _preset(name: str) -> tuple[EditConfig, str]:
    text, source = _preset_text(name), f"preset {name}"
    data = schema.load_toml(text, source)
    description = data.pop("description", "")
    return parse_config(data, source), str(description)


def _preset_text(name: str) -> str:
    if name in preset_names():
        return (resources.files("dragflow.files") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    if not name.endswith(".toml"):
        known = ", ".join(preset_names())
        raise UserError(f"preset {shown(name)} is not known: choose one of {known}, or the path of a .toml file")
    return read_text(Path(name), "preset file")


def parse_config(data: dict[str, Any], source: str) -> EditConfig:
    """A configuration from plain data; absent fields have the paper's values."""
    config = schema.parse(TypeAdapter(EditConfig), data, source)
    _check_rules(config, f"{source}: ")
    return config


def check_config(config: EditConfig) -> EditConfig:
    """A configuration that a program made; its types and ranges were checked as it was made.

    Raises:
        UserError: not a configuration, or fields that contradict each other.
    """
    if not isinstance(config, EditConfig):
        raise not_a("a configuration", config, "an EditConfig or a preset's name")
    _check_rules(config)
    return config


def _check_rules(config: EditConfig, source: str = "") -> None:
    """Check the rules that involve two fields."""
    inversion = config.inversion
    if inversion.skip >= inversion.steps:
        raise UserError(
            f"{source}inversion.skip: input should be less than inversion.steps, {inversion.steps} "
            f"(given {inversion.skip})"
        )
    if config.tokens.active == "area" and config.denoise.background == "none":
        raise UserError(
            f"{source}tokens.active is area, so that nothing is computed outside of it, and denoise.background is "
            "none, so that nothing is put back there: set tokens.active to all, or denoise.background to replay"
        )


def override(config: EditConfig, settings: list[str]) -> EditConfig:
    """Apply `key=value` settings such as "optimise.refining=10"; values are TOML, bare words are strings.

    Raises:
        UserError: no `=`, unknown key, wrong type, value out of range.
    """
    data: dict[str, Any] = asdict(config)
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise UserError(f"setting {shown(setting)} has no '=': write key=value, as in optimise.refining=10")
        *groups, field = key.split(".")
        place = data
        for group in groups:
            place = place.get(group)
            if not isinstance(place, dict):
                raise UserError(f"setting {shown(setting)}: {key} is not a known key: see `dragflow presets paper`")
        if field not in place or isinstance(place[field], dict):
            raise UserError(f"setting {shown(setting)}: {key} is not a known key: see `dragflow presets paper`")
        place[field] = _value(key, text)
    return parse_config(data, "settings")


def configure(preset: str, settings: Sequence[str] = (), *, few: str | None = None) -> EditConfig:
    """A preset with settings changed, for a model.

    Args:
        preset: its name, or the path of a TOML file.
        settings: changes as "key=value".
        few: the preset to use instead of one that inverts, where the model was distilled to few steps; None of any
            other model.

    Raises:
        UserError: see `load_preset` and `override`.
        CapabilityError: a preset that inverts, for a distilled model, in steps that nobody chose for it.
    """
    config = override(load_preset(preset), list(settings))
    chosen = preset not in preset_names() or any(text.partition("=")[0].strip() == _STEPS for text in settings)
    if few is not None and config.solves_back and not chosen:
        raise CapabilityError(
            f"preset {preset} inverts the picture in {config.inversion.steps} steps, and this model was distilled to "
            f"sample in a few, so that the steps between may not lead back: use preset {few}, or set {_STEPS} to a "
            "number that you have tried with it"
        )
    return config


def as_settings(config: EditConfig) -> tuple[str, list[str]]:
    """The preset that is nearest to a configuration, and what `override` must change in it; the seed is left out."""

    def changes(name: str) -> list[str]:
        usual = dict(_flat(asdict(load_preset(name))))
        told = ((key, "null" if value is None else json.dumps(value)) for key, value in wanted if value != usual[key])
        return [f"{key}={text}" for key, text in told if key != "seed"]

    wanted = list(_flat(asdict(config)))
    return min(((name, changes(name)) for name in preset_names()), key=lambda found: len(found[1]))


def why_alike(config: EditConfig) -> str | None:
    """Why variants of an edit, which differ in their seeds, would be the same picture; None if they are not."""
    if config.draws_noise:
        return None
    preset, changes = as_settings(config)
    changed = f" ({len(changes)} settings changed)" if len(changes) > 1 else " (1 setting changed)" if changes else ""
    noisy = [name for name in preset_names() if load_preset(name).draws_noise]
    repaired = replace(config, start=replace(config.start, repair=1.0)).draws_noise
    return (
        f"preset {preset}{changed} draws no noise, so all variants would be the same picture: ask for one, or take a "
        f"preset that draws noise ({', '.join(noisy)})" + (", or set start.repair above 0" if repaired else "")
    )


def _flat(data: dict[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{key}.")
        else:
            yield f"{group}{key}", value


def dump_config(config: EditConfig) -> str:
    """The JSON of a configuration, with every field."""
    return json.dumps(asdict(config), indent=2)


def _value(key: str, text: str) -> Any:
    """A typed value: TOML if it parses, else a string."""
    if text == "null":
        return None
    try:
        value: Any = schema.toml_table(f"{key} = {text}", "settings")
    except tomllib.TOMLDecodeError:
        return text
    for part in key.split("."):
        value = value[part]
    return value
