"""Latents as tokens, by patches of 2 x 2 cells, as FLUX.1 and those after it take them."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from dragflow.method.backbone import Latent

PATCH = 2
"""Cells along each side of a patch."""


def pack(z: Latent) -> Float[Tensor, "b n k"]:
    """Latent pixels to tokens: token row * w + column, channel c * 4 + 2 * (pixel row) + (pixel column)."""
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=PATCH, q=PATCH)


def unpack(tokens: Float[Tensor, "b n k"], h: int, w: int) -> Latent:
    """The inverse of `pack` for an h x w token grid."""
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=h, w=w, p=PATCH, q=PATCH)


def pack_last(z: Latent) -> Float[Tensor, "b n k"]:
    """The same with the channel last: 2 * (pixel row) + (pixel column), then the channel."""
    return rearrange(z, "b c (h p) (w q) -> b (h w) (p q c)", p=PATCH, q=PATCH)


def unpack_last(tokens: Float[Tensor, "b n k"], h: int, w: int) -> Latent:
    """The inverse of `pack_last` for an h x w token grid."""
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=PATCH, q=PATCH)
