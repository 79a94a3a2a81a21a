"""The configurations of FLUX.1's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config
from dragflow.backbones.published import CLIP_L, FLUX1_VAE, T5_XXL


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name; those of fine-tunes are the same."""
    return {
        # The defaults of diffusers' class are FLUX.1-dev's, but for this.
        "transformer": {"guidance_embeds": not model.endswith("schnell")},
        "vae": FLUX1_VAE,
        "text_encoder": CLIP_L,
        "text_encoder_2": T5_XXL,
    }
