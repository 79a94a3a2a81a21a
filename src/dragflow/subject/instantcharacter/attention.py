"""InstantCharacter's attention: the image's queries attend to the subject tokens, beside a block's own attention.

Module and parameter names are those of the published checkpoint's `ip_adapter`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.method.backbone import OwnKV
from dragflow.subject.attention import KV, attend, split_heads

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

    def project(self, tokens: Float[Tensor, "b q o"], _: Tensor | None = None) -> KV:
        """Keys and values of subject tokens, each (b, heads, q, head); of the time the tokens tell enough."""
        k, v = (split_heads(projection(tokens), self._heads) for projection in (self.to_k_ip, self.to_v_ip))
        return self.norm_ip_k(k), v

    def forward(self, query: Float[Tensor, "b n w"], kv: KV, _: OwnKV | None = None) -> Float[Tensor, "b n w"]:
        """What is added to the output of the model's attention.

        Args:
            query: the model's own projection, before its norm and rotary embedding.
            kv: from `project`.
        """
        return attend(self.norm_ip_q(split_heads(query, self._heads)), kv)


class _Norm(nn.Module):
    """x / (rms(x) + eps), times a learned scale: eps is outside of the root, unlike in `nn.RMSNorm`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        rms = x.float().square().mean(dim=-1, keepdim=True).sqrt()
        return (x.float() / (rms + _EPS)).to(x.dtype) * self.scale
