"""IP-adapters for FLUX.1 in InstantX's layout, which diffusers does not load: every block attends to 128 tokens.

A block's queries attend to the tokens after their norm and before rotary embedding, and the result is added to the
attention's output; in single blocks the text's queries do so, too. Module and parameter names are the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.core.errors import UserError
from dragflow.method.backbone import BackboneSpec, SubjectPlace
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors, shape_of
from dragflow.subject.ip_adapter.adapter import FLUX1_LAYOUTS, TokenKV

PLACE = SubjectPlace(normed=True, output="attention", text=True)
_FIRST_LAYER = f"{PROJECTOR}.proj.0.weight"
"""A tensor that no other layout has."""
_EPS = 1e-5
"""Of the norm of keys."""


class Projection(nn.Module):
    """An embedding to tokens."""

    def __init__(self, embedding: int, inner: int, width: int, tokens: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(embedding, inner), nn.GELU(), nn.Linear(inner, width * tokens))
        self.norm = nn.LayerNorm(width)
        self.embedding = embedding
        self._tokens = tokens

    def forward(self, embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b q o"]:
        """Tokens, each normed."""
        return self.norm(rearrange(self.proj(embedding), "b (q o) -> b q o", q=self._tokens))


def build(embedding: int, inner: int, width: int, tokens: int, *, heads: tuple[int, int], blocks: int) -> nn.ModuleDict:
    """Both parts of a checkpoint, by the names they have there.

    Args:
        embedding: width of the encoder's embedding.
        inner: width between the projection's two layers.
        width: of a token.
        tokens: how many.
        heads: of the model's attentions: their number, and the size of one.
        blocks: of the model.
    """
    count, head = heads

    def layer() -> nn.Linear:
        return nn.Linear(width, count * head, bias=False)

    token_kv = nn.ModuleList(TokenKV(layer(), layer(), count, eps=_EPS) for _ in range(blocks))
    return nn.ModuleDict({PROJECTOR: Projection(embedding, inner, width, tokens), ATTENTIONS: token_kv})


def has_layout(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint has this layout."""
    return _FIRST_LAYER in tensors


def load_modules(
    path: Path, tensors: Mapping[str, Tensor], spec: BackboneSpec, heads: tuple[int, int]
) -> tuple[Projection, dict[str, TokenKV]]:
    """Projection, and keys and values for each block of the model, on the CPU.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of the checkpoint's.
        spec: of the model.
        heads: of the model's attentions: their number, and the size of one.

    Raises:
        UserError: the checkpoint was made for another model.
    """
    inner, embedding = shape_of(path, tensors, _FIRST_LAYER, 2, FLUX1_LAYOUTS)
    rows, _ = shape_of(path, tensors, f"{PROJECTOR}.proj.2.weight", 2, FLUX1_LAYOUTS)
    _, width = shape_of(path, tensors, f"{ATTENTIONS}.0.to_k_ip.weight", 2, FLUX1_LAYOUTS)
    if rows % width:
        raise UserError(
            f"`subject.weights` {path}: {PROJECTOR}.proj.2.weight has {rows} rows, which is not a multiple of {width}, "
            "the width of a token; download it again"
        )
    with torch.device("meta"):
        whole = build(embedding, inner, width, rows // width, heads=heads, blocks=len(spec.blocks))
    check_tensors(path, tensors, {name: tuple(x.shape) for name, x in whole.state_dict().items()})
    whole.load_state_dict(tensors, assign=True)
    projection: Any = whole[PROJECTOR]
    token_kv: Any = whole[ATTENTIONS]
    return projection, dict(zip(spec.blocks, token_kv, strict=True))
