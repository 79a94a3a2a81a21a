"""The facts of a FLUX.2 dev that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.backbones.flux2 import layout
from dragflow.method.backbone import BackboneSpec

TEXT_LAYERS = (10, 20, 30)
"""Of Mistral, whose states are a prompt's tokens, side by side."""


def spec_of(transformer: Any, stride: int) -> BackboneSpec:
    """See `flux2.layout.spec_of`; it was distilled from guidance to an embedding of it, and not to few steps."""
    guidance = "embedded" if transformer.config.guidance_embeds else "none"
    return replace(layout.spec_of(transformer, stride, "flux2-dev"), guidance=guidance)


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """See `flux2.layout.check_configs`."""
    layout.check_configs(model, configs, TEXT_LAYERS, {})
