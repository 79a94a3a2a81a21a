"""The configurations of FLUX.2 dev's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config

_MISTRAL_SMALL_3: dict[str, Any] = {  # the text half of 3.1 and 3.2, which differ in values alone
    "model_type": "mistral",
    "vocab_size": 131072,
    "hidden_size": 5120,
    "intermediate_size": 32768,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
}


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name; those of fine-tunes are the same."""
    return {
        "transformer": {"guidance_embeds": True},  # the defaults of diffusers' class are FLUX.2 dev's
        "vae": {"_class_name": "AutoencoderKLFlux2"},
        "text_encoder": {"model_type": "mistral3", "text_config": _MISTRAL_SMALL_3},
    }
