"""The configurations of FLUX.2 klein's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.backbones.published import QWEN3_4B, QWEN3_8B


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name; the base models' are the same."""
    return _configs(8, 24, 32, QWEN3_8B) if model.endswith("9B") else _configs(5, 20, 24, QWEN3_4B)


def _configs(doubles: int, singles: int, heads: int, encoder: dict[str, Any]) -> dict[str, Config]:
    transformer: dict[str, Any] = {
        "num_layers": doubles,
        "num_single_layers": singles,
        "num_attention_heads": heads,
        "joint_attention_dim": 3 * encoder["hidden_size"],
        "guidance_embeds": False,
    }
    return {"transformer": transformer, "vae": {"_class_name": "AutoencoderKLFlux2"}, "text_encoder": encoder}
