"""How FLUX.1 lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

import math
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from dragflow.method.backbone import BackboneSpec, Latent
from dragflow.ops import flow

# The paper's choice for the 19 + 38 blocks of FLUX.1 (Sec. 3.4); smaller models take the same relative depth. Its taps
# are the last two double blocks.
_PAPER_BLOCKS = (19, 38)
_TAPPED_BLOCKS = 2
_PAPER_DOUBLE_KV, _PAPER_SINGLE_KV = (0, 7, 8, 9, 10, 18), (6, 9, 18, 23, 26, 31, 37)
_PATCH = 2


def pack(z: Latent) -> Float[Tensor, "b n k"]:
    """Latent pixels to tokens: token row * w + column, channel c * 4 + 2 * (pixel row) + (pixel column)."""
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=_PATCH, q=_PATCH)


def unpack(tokens: Float[Tensor, "b n k"], h: int, w: int) -> Latent:
    """The inverse of `pack` for an h x w token grid."""
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=h, w=w, p=_PATCH, q=_PATCH)


def image_ids(h: int, w: int, device: torch.device) -> Float[Tensor, "n 3"]:
    """Rotary positions (0, row, column) of the image tokens."""
    rows, columns = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()


def spec_of(transformer: Any, pipeline: Any) -> BackboneSpec:
    """The facts of a `FluxTransformer2DModel` and its `FluxPipeline`; without a pipeline the stride is FLUX.1's."""
    doubles, singles = transformer.config.num_layers, transformer.config.num_single_layers
    stride = 8 if pipeline is None else pipeline.vae_scale_factor
    heads, head = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    taps = tuple(f"double.{i}.{part}" for i in range(doubles) for part in ("norm", "out"))
    kv = [f"double.{i}" for i in _at_depth(_PAPER_DOUBLE_KV, _PAPER_BLOCKS[0], doubles)]
    kv += [f"single.{i}" for i in _at_depth(_PAPER_SINGLE_KV, _PAPER_BLOCKS[1], singles)]
    return BackboneSpec(
        family="flux1",
        latent_channels=transformer.config.in_channels // _PATCH**2,
        latent_stride=stride,
        pixel_multiple=stride * _PATCH,
        blocks=(*(f"double.{i}" for i in range(doubles)), *(f"single.{i}" for i in range(singles))),
        tap_names=taps,
        taps=taps[-2 * _TAPPED_BLOCKS :],
        kv_blocks=tuple(kv),
        kv_token_bytes=heads * head * transformer.dtype.itemsize,
        takes_guidance=bool(transformer.config.guidance_embeds),
        subject_heads=(heads, head),
    )


def _at_depth(chosen: tuple[int, ...], of: int, have: int) -> list[int]:
    """Block numbers chosen for a model of `of` blocks, at the same relative depth of one that has `have`."""
    return sorted({round(i * (have - 1) / (of - 1)) for i in chosen}) if have else []


def vae_affine(vae: Any) -> tuple[float, float]:
    """Shift and scale of an autoencoder: the model's latents are (z - shift) * scale."""
    return float(getattr(vae.config, "shift_factor", 0) or 0), float(vae.config.scaling_factor)


def time_shift(scheduler: Any, tokens: int) -> float | None:
    """The mu of the time shift: dynamic in the number of tokens (FLUX.1-dev), fixed, or none (schnell)."""
    if scheduler is None:
        return flow.flux_mu(tokens)
    if scheduler.use_dynamic_shifting:
        low = (scheduler.base_image_seq_len, scheduler.base_shift)
        return flow.flux_mu(tokens, low=low, high=(scheduler.max_image_seq_len, scheduler.max_shift))
    return math.log(scheduler.shift) if scheduler.shift != 1 else None
