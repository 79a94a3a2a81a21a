"""The configurations of Stable Diffusion 3's published weights, for what must be known of them without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config

_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
_ENCODERS: dict[str, Config] = {
    # CLIP-L
    "text_encoder": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "projection_dim": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    # CLIP-G
    "text_encoder_2": {
        "vocab_size": 49408,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "projection_dim": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
    },
    # T5 v1.1 XXL
    "text_encoder_3": {
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
    """Configurations of the networks of published weights, by the part's name."""
    if "large" in model:
        transformer = _transformer(38, 192, "rms_norm", dual=0)
    elif "3.5" in model:
        transformer = _transformer(24, 384, "rms_norm", dual=13)
    else:
        transformer = _transformer(24, 192, None, dual=0)
    return {"transformer": transformer, "vae": _VAE, **_ENCODERS}


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
