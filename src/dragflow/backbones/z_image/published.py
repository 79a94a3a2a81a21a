"""The configurations of Z-Image's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config

_CONFIGS: dict[str, Config] = {
    "transformer": {},  # the defaults of diffusers' class
    "vae": {  # FLUX.1's
        "_class_name": "AutoencoderKL",
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "text_encoder": {  # Qwen3-4B
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": True,
    },
}


def published() -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name: of both the same."""
    return _CONFIGS
