"""A small random model of FLUX.2 klein, in the real classes and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.flux2_klein.layout import flat, image_ids, in_rows, text_ids
from small_flux import GRID, TIME
from small_qwen3 import qwen3_config, qwen3_tokenizer


def write_flux2(folder: Path, *, distilled: bool = True, doubles: int = 3, singles: int = 6, seed: int = 0) -> Path:
    """Save a whole pipeline in diffusers layout, about 3 MB; the same arguments give the same weights."""
    import diffusers
    from transformers import Qwen3ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=doubles,
            num_single_layers=singles,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=3 * 32,
            axes_dims_rope=(8, 8, 8, 8),
            guidance_embeds=False,
        )
        vae = diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 16, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4
        )
        moments: Any = vae.bn
        moments.running_mean.normal_(0, 0.3)
        moments.running_var.uniform_(0.5, 2)
        tokenizer = qwen3_tokenizer()
        encoder = Qwen3ForCausalLM(qwen3_config(tokenizer, layers=28))
    diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=distilled,
    ).save_pretrained(folder)
    return folder


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives, without references."""
    out = transformer(
        hidden_states=flat(z),
        encoder_hidden_states=cond.text.tokens,
        timestep=torch.full((1,), TIME),
        img_ids=image_ids(*GRID, z.device),
        txt_ids=text_ids(cond.text.tokens.shape[1], z.device),
        return_dict=False,
    )[0]
    return in_rows(out, *GRID)
