"""The configurations of FLUX.1's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping

from dragflow.backbones.configs import Config

_DEV: dict[str, Config] = {
    # The defaults of diffusers' class are FLUX.1-dev's, but for this.
    "transformer": {"guidance_embeds": True},
    "vae": {
        "_class_name": "AutoencoderKL",
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    # CLIP-L
    "text_encoder": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    # T5 v1.1 XXL
    "text_encoder_2": {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
}


def published(model: str) -> Mapping[str, Config]:
    """Configurations of the networks of published weights, by the part's name; those of fine-tunes are the same."""
    return {**_DEV, "transformer": {"guidance_embeds": False}} if model.endswith("schnell") else _DEV
