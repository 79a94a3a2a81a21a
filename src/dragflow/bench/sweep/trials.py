"""What a sweep tries: every tap and every K/V site alone, and the sets that it compares (method Sec. 5 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.files.presets import load_preset, override
from dragflow.method.backbone import BackboneSpec

Half = Literal["taps", "sites"]
HALVES: tuple[Half, ...] = ("taps", "sites")

PRESET = "default"
SETTINGS = (
    "start.mode=source",
    "area.detail=false",
    "inversion.steps=10",
    "inversion.skip=4",
    "optimise.moving=16",
    "optimise.refining=8",
    "optimise.moving_rate=0.1",
    "optimise.refining_rate=0.1",
)
"""What a sweep changes in the preset `default`, whose start is at the target already: from the inverted source the loss
does all the work, so that taps show what they are worth. A preset that is named is taken as it is."""

STILL, OWN = "none", "own"
"""Names of the trials that drag nothing, and that have the model's own taps and no K/V."""


@dataclass(frozen=True)
class Trial:
    """One way to edit every scene."""

    name: str
    config: EditConfig


def base_config(preset: str | None, settings: Sequence[str]) -> EditConfig:
    """The settings of all trials.

    Raises:
        UserError: settings that break a rule, or under which taps and sites make no difference.
    """
    changes = [*(SETTINGS if preset is None else ()), *settings]
    config = override(load_preset(preset or PRESET), changes)
    if not config.drags:
        raise UserError(
            "a sweep compares taps by what the iterations make of them, and these settings make none: set "
            "optimise.refining=8, or name another preset"
        )
    return config


def still(config: EditConfig) -> Trial:
    """Nothing is dragged: what all others start from."""
    return Trial(STILL, config.with_(optimise={"moving": 0, "refining": 0}, kv={"rule": "none", "sites": None}))


def with_taps(config: EditConfig, name: str, taps: Sequence[str]) -> Trial:
    """These features compared, no keys and values injected."""
    return Trial(name, config.with_(optimise={"taps": tuple(taps)}, kv={"rule": "none", "sites": None}))


def with_sites(config: EditConfig, name: str, taps: Sequence[str], sites: Sequence[str]) -> Trial:
    """These features compared, and the source's keys and values of these blocks taken along."""
    return Trial(name, config.with_(optimise={"taps": tuple(taps)}, kv={"rule": "mapped", "sites": tuple(sites)}))


def alone(half: Half, config: EditConfig, spec: BackboneSpec) -> list[Trial]:
    """Every tap, or every site, by itself."""
    if half == "taps":
        return [with_taps(config, tap, (tap,)) for tap in spec.tap_names]
    return [with_sites(config, block, spec.taps, (block,)) for block in spec.blocks]


def together(half: Half, config: EditConfig, spec: BackboneSpec, chosen: Sequence[str], name: str) -> Trial:
    """A set of taps, or of sites."""
    if half == "taps":
        return with_taps(config, name, chosen)
    return with_sites(config, name, spec.taps, chosen)
