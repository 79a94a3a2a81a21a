"""A small random model of Stable Diffusion 3.5, in the real classes and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.dummy import small_clip, small_t5, small_vae
from small_flux import TIME


def write_sd3(
    folder: Path, *, t5: bool = True, dual: int = 3, layers: int = 7, wide: bool = False, seed: int = 0
) -> Path:
    """Save a whole pipeline in diffusers layout, about 3 MB; the same arguments give the same weights.

    Args:
        folder: to be written.
        t5: whether it has its third text encoder.
        dual: how many blocks have a second attention, as in 3.5 medium.
        layers: number of blocks.
        wide: whether its second CLIP has the width of CLIP-G, by which files of it are told.
        seed: of the weights.
    """
    import diffusers

    width = 1280 if wide else 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=16,
            num_layers=layers,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=16 + width,
            caption_projection_dim=64,
            pooled_projection_dim=16 + width,
            pos_embed_max_size=24,
            dual_attention_layers=tuple(range(dual)),
            qk_norm="rms_norm",
        )
        vae = small_vae(shift=0.0609, scale=1.5305)
        first, second = _projecting(16), _projecting(width)
        third: tuple[Any, Any] = small_t5(16 + width) if t5 else (None, None)
    diffusers.StableDiffusion3Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=first[0],
        tokenizer=first[1],
        text_encoder_2=second[0],
        tokenizer_2=second[1],
        text_encoder_3=third[0],
        tokenizer_3=third[1],
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def _projecting(width: int) -> tuple[Any, Any]:
    """A CLIP of this width with its projection, and its tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    plain, tokenizer = small_clip()
    sizes = {"hidden_size": width, "projection_dim": width, "intermediate_size": 32, "num_hidden_layers": 2}
    return CLIPTextModelWithProjection(CLIPTextConfig.from_dict(plain.config.to_dict() | sizes)), tokenizer


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any, **more: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives."""
    return transformer(
        hidden_states=z,
        encoder_hidden_states=cond.text.tokens,
        pooled_projections=cond.text.pooled,
        timestep=torch.full((1,), 1000 * TIME),
        return_dict=False,
        **more,
    )[0]
