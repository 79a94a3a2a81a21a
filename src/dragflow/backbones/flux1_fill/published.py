"""The configurations of FLUX.1 Fill's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config
from dragflow.backbones.flux1.published import published as published_flux1


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name."""
    known = published_flux1(model)
    return {**known, "transformer": {**known["transformer"], "in_channels": 384, "out_channels": 64}}
