"""Attention over subject tokens, as all adapters do it."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

KV = tuple[Float[Tensor, "_ h q d"], Float[Tensor, "_ h q d"]]
"""Keys and values of q subject tokens; one batch serves a query of any."""


def split_heads(x: Float[Tensor, "b n w"], heads: int) -> Float[Tensor, "b h n d"]:
    """A projection, in which one head follows the other, with an axis for the heads."""
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def attend(query: Float[Tensor, "b h n d"], kv: KV) -> Float[Tensor, "b n w"]:
    """Attention of queries over keys and values, the heads joined again."""
    k, v = (x.expand(query.shape[0], -1, -1, -1) for x in kv)
    return rearrange(F.scaled_dot_product_attention(query, k, v), "b h n d -> b n (h d)")
