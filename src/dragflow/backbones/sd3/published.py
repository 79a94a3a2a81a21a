"""The configurations of Stable Diffusion 3's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.backbones.published import CLIP_L, FLUX1_VAE, T5_XXL

_VAE: dict[str, Any] = {**FLUX1_VAE, "scaling_factor": 1.5305, "shift_factor": 0.0609}
_CLIP_G: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
}


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name."""
    if "large" in model:
        transformer = _transformer(38, 192, "rms_norm", dual=0)
    elif "3.5" in model:
        transformer = _transformer(24, 384, "rms_norm", dual=13)
    else:
        transformer = _transformer(24, 192, None, dual=0)
    encoders = {"text_encoder": CLIP_L, "text_encoder_2": _CLIP_G, "text_encoder_3": T5_XXL}
    return {"transformer": transformer, "vae": _VAE, **encoders}


def _transformer(layers: int, places: int, norm: str | None, *, dual: int) -> dict[str, Any]:
    """Of as many heads as layers; with a second attention in the first `dual` layers."""
    return {
        "num_layers": layers,
        "num_attention_heads": layers,
        "caption_projection_dim": 64 * layers,
        "pos_embed_max_size": places,
        "qk_norm": norm,
        "dual_attention_layers": list(range(dual)),
    }
