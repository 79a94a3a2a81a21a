"""Families of models: what is known of each before one is loaded, and the module that loads it; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dragflow.backbones.lora_names import Stacked
from dragflow.core.plugins import Plugins
from dragflow.core.task import PromptForm

FAMILIES = Plugins(
    "pipeline",
    "dragflow.backbones",
    {
        "FluxPipeline": "dragflow.backbones.flux1:FAMILY",
        "FluxKontextPipeline": "dragflow.backbones.flux1_kontext:FAMILY",
        "FluxFillPipeline": "dragflow.backbones.flux1_fill:FAMILY",
        "Flux2Pipeline": "dragflow.backbones.flux2_dev:FAMILY",
        "Flux2KleinPipeline": "dragflow.backbones.flux2_klein:FAMILY",
        "StableDiffusion3Pipeline": "dragflow.backbones.sd3:FAMILY",
        "QwenImagePipeline": "dragflow.backbones.qwen_image:FAMILY",
        "QwenImageEditPipeline": "dragflow.backbones.qwen_image_edit:FAMILY",
        "QwenImageEditPlusPipeline": "dragflow.backbones.qwen_image_edit_plus:FAMILY",
        "ZImagePipeline": "dragflow.backbones.z_image:FAMILY",
    },
)
"""Class of a pipeline, as in `model_index.json`, to a `Family`."""


@dataclass(frozen=True)
class Published:
    """Weights on the hub."""

    name: str
    """Hub id."""
    licence: str
    """Name of the licence, as its owner spells it."""
    commercial: bool
    """Whether pictures may be made with it for money, without an agreement with its owner."""
    gated: bool
    """Whether the hub asks for an account that accepted the licence."""
    distilled: bool = False
    """Whether it was trained to sample in a few steps."""

    @property
    def terms(self) -> str:
        """What its licence asks for, in words."""
        return terms(self.licence, commercial=self.commercial, gated=self.gated)


def terms(licence: str, *, commercial: bool | None, gated: bool | None) -> str:
    """A licence and what it asks for, in words; what is not known is left out."""
    use = {True: ", commercial use allowed", False: ", commercial use by agreement only", None: ""}[commercial]
    return licence + use + (", gated (for accounts that accepted it)" if gated else "")


class Distilled(Protocol):
    """Tells whether a model was trained to sample in a few steps, by what its parts say of themselves."""

    def __call__(
        self, *, index: Mapping[str, Any], transformer: Mapping[str, Any], scheduler: Mapping[str, Any]
    ) -> bool:
        """Given the entries of `model_index.json` and of two parts' configurations; what is not said is absent."""
        ...


def never(*, index: Mapping[str, Any], transformer: Mapping[str, Any], scheduler: Mapping[str, Any]) -> bool:
    """Of families without such models, or whose files do not tell."""
    return False


@dataclass(frozen=True)
class Family:
    """Models that one loader loads."""

    loader: str
    """"module:attribute" of a `registry.Loader`, or the "module" that is one; imported when a model is loaded or
    counted."""
    published: tuple[Published, ...] = ()
    """Weights that are known, the usual ones first."""
    preset: str = "default"
    """The preset that serves these models best by themselves, unless they are distilled."""
    distilled: Distilled = never
    prompts: PromptForm = "captions"
    """What they are told where they are given references."""
    layers: Mapping[str, Stacked] = field(default_factory=dict[str, Stacked])
    """What the model's authors call the layers of its transformer, with "{}" for the number of a block: many LoRAs use
    these names. Those of diffusers need no table."""
    norms: Mapping[str, str] = field(default_factory=dict[str, str])
    """Whole names that they give to tensors of no layer, to those of diffusers: what files of the model have beside."""
    unused: tuple[str, ...] = ()
    """Whole names of tensors in their files that nothing is computed with."""


def best_preset(preset: str, *, distilled: bool, bridged: bool) -> str:
    """The preset that serves a model best.

    Args:
        preset: that of its family.
        distilled: whether the model was trained to sample in a few steps.
        bridged: whether it has a bridge.
    """
    if bridged:
        return "bridge"
    return "turbo" if distilled and preset == "default" else preset


def published() -> dict[str, str]:
    """Hub ids of weights that are known, each with its pipeline's class."""
    return {each.name: pipeline for pipeline in FAMILIES.names for each in FAMILIES.load(pipeline).published}


def published_as(model: str) -> Published | None:
    """What is known of weights on the hub; None if nothing is."""
    pipeline = published().get(model)
    return next((each for each in FAMILIES.load(pipeline).published if each.name == model), None) if pipeline else None
