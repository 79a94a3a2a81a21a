"""A small random model of Z-Image, in the real classes and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.dummy import small_vae
from small_flux import TIME
from small_qwen3 import qwen3_config, qwen3_tokenizer


def write_z_image(folder: Path, *, turbo: bool = False, layers: int = 7, seed: int = 0) -> Path:
    """Save a whole pipeline in diffusers layout, about 3 MB; the same arguments give the same weights."""
    import diffusers
    from transformers import Qwen3Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = diffusers.ZImageTransformer2DModel(
            dim=64,
            n_layers=layers,
            n_refiner_layers=2,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=32,
            axes_dims=[8, 12, 12],
            axes_lens=[256, 64, 64],
        )
        for token in (transformer.x_pad_token, transformer.cap_pad_token):
            token.data.normal_(0, 0.1)
        vae = small_vae()
        tokenizer = qwen3_tokenizer()
        encoder = Qwen3Model(qwen3_config(tokenizer, layers=2))
    diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0 if turbo else 6.0, use_dynamic_shifting=False),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives."""
    (out,) = transformer([z[0, :, None]], 1 - torch.full((1,), TIME), [cond.text.tokens[0]], return_dict=False)[0]
    return -out[None, :, 0]
