"""The configurations of FLUX.2 klein's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name; the base models' are the same."""
    return _configs(8, 24, 32, 4096, 12288) if model.endswith("9B") else _configs(5, 20, 24, 2560, 9728)


def _configs(doubles: int, singles: int, heads: int, hidden: int, inner: int) -> dict[str, Config]:
    transformer: dict[str, Any] = {
        "num_layers": doubles,
        "num_single_layers": singles,
        "num_attention_heads": heads,
        "joint_attention_dim": 3 * hidden,
        "guidance_embeds": False,
    }
    encoder: dict[str, Any] = {  # Qwen3-4B and Qwen3-8B
        "vocab_size": 151936,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": hidden == 2560,
    }
    return {"transformer": transformer, "vae": {"_class_name": "AutoencoderKLFlux2"}, "text_encoder": encoder}
