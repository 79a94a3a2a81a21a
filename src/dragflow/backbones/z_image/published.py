"""The configurations of Z-Image's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config
from dragflow.backbones.published import FLUX1_VAE, QWEN3_4B


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name: of both the same."""
    # The defaults of diffusers' class are the published transformer's.
    return {"transformer": {}, "vae": FLUX1_VAE, "text_encoder": QWEN3_4B}
