"""The configurations of the published weights of Qwen-Image and of its edit models, for what must be known of them
without their files.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config

_CONFIGS: dict[str, Config] = {
    # Qwen-Image's are the defaults of diffusers' class; Edit-2511 has `zero_cond_t` besides, which adds no weight.
    "transformer": {},
    "vae": {"_class_name": "AutoencoderKLQwenImage"},
    # Qwen2.5-VL-7B-Instruct
    "text_encoder": {
        "text_config": {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 128000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
        },
    },
}


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name: of all of them the same."""
    return _CONFIGS
