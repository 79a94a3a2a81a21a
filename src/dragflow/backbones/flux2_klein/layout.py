"""The facts of a FLUX.2 klein that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.backbones.flux2 import layout
from dragflow.method.backbone import BackboneSpec

TEXT_LAYERS = (9, 18, 27)
"""Of Qwen3, whose states are a prompt's tokens, side by side."""


def spec_of(transformer: Any, stride: int, *, distilled: bool = False) -> BackboneSpec:
    """See `flux2.layout.spec_of`."""
    guidance = "none" if distilled else "classifier-free"
    return replace(layout.spec_of(transformer, stride, "flux2-klein"), guidance=guidance, distilled=distilled)


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """See `flux2.layout.check_configs`."""
    layout.check_configs(model, configs, TEXT_LAYERS, {"guidance_embeds": (False, "klein has none")})
