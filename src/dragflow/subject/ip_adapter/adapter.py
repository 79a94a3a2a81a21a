"""IP-adapters for FLUX.1: a picture's embedding becomes tokens, to which the model's blocks attend.

Nothing depends on the time: tokens, keys and values are computed at most once for a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.backbones.devices import on_device
from dragflow.core.config import SubjectConfig
from dragflow.core.models import SubjectId
from dragflow.method.backbone import Image, OwnKV, Projection, SubjectPlace
from dragflow.subject.attention import KV, attend, split_heads
from dragflow.subject.encoders import EncoderSpec, letterbox, pixel_values, to_pil

FLUX1_LAYOUTS = "an IP-adapter for FLUX.1 in XLabs' or InstantX's layout"
"""What is asked for where a checkpoint is not one, in errors."""
_SCALE = 0.7
"""Strength where the configuration names none."""


class TokenKV(nn.Module):
    """From tokens to one block's keys and values."""

    def __init__(self, to_k: nn.Linear, to_v: nn.Linear, heads: int, eps: float | None = None) -> None:
        """Make one.

        Args:
            to_k: from a token to its keys, one head after the other.
            to_v: to its values.
            heads: how many.
            eps: of the norm (root mean square, without weights) of every key; None: keys are not normed.
        """
        super().__init__()
        self.to_k_ip, self.to_v_ip = to_k, to_v
        self._heads, self._eps = heads, eps

    def forward(self, tokens: Float[Tensor, "b q o"]) -> KV:
        """Keys and values, each (b, heads, q, head)."""
        k, v = (split_heads(projection(tokens), self._heads) for projection in (self.to_k_ip, self.to_v_ip))
        return (k if self._eps is None else F.rms_norm(k, k.shape[-1:], eps=self._eps)), v


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """The encoder of an IP-adapter: a whole picture to one embedding, or to one of each patch."""

    spec: EncoderSpec
    model: Any
    read: Callable[[Any, Tensor], Tensor]
    """What of the model's outputs on pixels the embedding is."""
    width: int
    """Of an embedding."""

    def __call__(self, image: Image) -> Float[Tensor, "1 *n e"]:
        """The embedding of a picture, letterboxed and never cropped."""
        picture = letterbox(to_pil(image), int(self.model.config.image_size))
        return self.read(self.model, pixel_values([picture], self.spec, self.model))


@dataclass(frozen=True, eq=False)
class IpAdapter:
    """A loaded IP-adapter: a `SubjectAdapter`."""

    encoder: ImageEncoder
    projection: nn.Module
    """An embedding (1, e) to tokens (1, q, o)."""
    token_kv: Mapping[str, TokenKV]
    """By block."""
    heads: int
    place: SubjectPlace
    device: torch.device
    offload: bool
    """Keep the encoder in main memory while it is idle."""
    record: SubjectId

    @torch.no_grad()
    def encode(self, image: Image) -> EncodedImage:
        """See `SubjectAdapter.encode`."""
        with on_device((self.encoder.model,), self.device, offload=self.offload):
            embedding = self.encoder(image)
        return EncodedImage(self, self.projection(embedding.to(self.device)), _SCALE)


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One subject: a `Subject`, and its own `SubjectControl`, since it is the same at all times."""

    adapter: IpAdapter
    tokens: Float[Tensor, "1 q o"]
    scale: float
    kv: dict[str, KV] = field(default_factory=dict[str, KV])

    def under(self, config: SubjectConfig) -> EncodedImage:
        """See `Subject.under`; keys and values are shared, since no setting changes them."""
        return replace(self, scale=_SCALE if config.scale is None else config.scale)

    def at(self, t: float) -> EncodedImage:
        """See `Subject.at`."""
        return self

    @property
    def blocks(self) -> frozenset[str]:
        """See `SubjectControl.blocks`."""
        return frozenset(self.adapter.token_kv)

    @property
    def place(self) -> SubjectPlace:
        """See `SubjectControl.place`."""
        return self.adapter.place

    @property
    def negative(self) -> None:
        """See `Subject.negative`: FLUX.1 is not guided away from anything."""

    def __call__(self, block: str, query: Projection, own: OwnKV | None = None) -> Projection:
        """See `SubjectControl`."""
        if block not in self.kv:
            with torch.no_grad():
                self.kv[block] = self.adapter.token_kv[block](self.tokens)
        return self.scale * attend(split_heads(query, self.adapter.heads), self.kv[block])
