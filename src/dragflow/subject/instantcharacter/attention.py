"""InstantCharacter's attention: the image's queries look at the subject tokens, beside a block's own attention.

Module and parameter names are those of the published checkpoint's `ip_adapter`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

_EPS = 1e-6


class SubjectAttention(nn.Module):
    """The adapter's part of one attention."""

    def __init__(self, width: int, head: int, tokens: int) -> None:
        """Make one.

        Args:
            width: of the model's attention, heads times head size.
            head: size of a head.
            tokens: width of a subject token.
        """
        super().__init__()
        self.norm_ip_q, self.norm_ip_k = _Norm(head), _Norm(head)
        self.to_k_ip, self.to_v_ip = nn.Linear(tokens, width), nn.Linear(tokens, width)
        self._heads = width // head

    def project(self, tokens: Float[Tensor, "b q o"]) -> tuple[Tensor, Tensor]:
        """Keys and values of subject tokens, each (b, heads, q, head)."""
        k, v = (self._split(projection(tokens)) for projection in (self.to_k_ip, self.to_v_ip))
        return self.norm_ip_k(k), v

    def forward(self, query: Float[Tensor, "b n w"], kv: tuple[Tensor, Tensor]) -> Float[Tensor, "b n w"]:
        """What the image tokens read from the subject.

        Args:
            query: the model's own projection, before its norm and rotary embedding.
            kv: from `project`.
        """
        return read(self.norm_ip_q(self._split(query)), kv)

    def _split(self, x: Tensor) -> Tensor:
        return split(x, self._heads)


def split(x: Float[Tensor, "b n w"], heads: int) -> Float[Tensor, "b h n d"]:
    """A projection, one head beside the other, as attention takes it."""
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def read(query: Float[Tensor, "b h n d"], kv: tuple[Tensor, Tensor]) -> Float[Tensor, "b n w"]:
    """What queries read from the keys and values (1, h, q, d) of subject tokens."""
    k, v = (x.expand(query.shape[0], -1, -1, -1) for x in kv)
    return rearrange(F.scaled_dot_product_attention(query, k, v), "b h n d -> b n (h d)")


class _Norm(nn.Module):
    """x / (rms(x) + eps), times a learned scale: eps is outside of the root."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        rms = x.float().square().mean(dim=-1, keepdim=True).sqrt()
        return (x.float() / (rms + _EPS)).to(x.dtype) * self.scale
