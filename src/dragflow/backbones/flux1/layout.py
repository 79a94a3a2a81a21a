"""How FLUX.1 lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.pipeline import at_depth
from dragflow.method.backbone import BackboneSpec, Latent

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


def spec_of(transformer: Any, stride: int) -> BackboneSpec:
    """The facts of a `FluxTransformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels."""
    doubles, singles = transformer.config.num_layers, transformer.config.num_single_layers
    heads, head = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    taps = tuple(f"double.{i}.{part}" for i in range(doubles) for part in ("norm", "out"))
    kv = [f"double.{i}" for i in at_depth(_PAPER_DOUBLE_KV, _PAPER_BLOCKS[0], doubles)]
    kv += [f"single.{i}" for i in at_depth(_PAPER_SINGLE_KV, _PAPER_BLOCKS[1], singles)]
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
