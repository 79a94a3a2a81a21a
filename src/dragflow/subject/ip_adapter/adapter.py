"""IP-adapters at work: a picture's embedding becomes tokens, which blocks read by attention.

Nothing depends on the time: tokens, keys and values are computed at most once for a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.backbones.devices import on_device
from dragflow.core.config import SubjectConfig
from dragflow.core.models import SubjectId
from dragflow.method.backbone import Image, Projection, SubjectPlace
from dragflow.subject.instantcharacter.attention import read, split
from dragflow.subject.vision import Kind, as_picture, letterboxed, normalised

_SCALE = 0.7
"""Strength where the configuration names none."""


class Reader(nn.Module):
    """One block's keys and values of tokens."""

    def __init__(self, to_k: nn.Linear, to_v: nn.Linear, heads: int, eps: float | None = None) -> None:
        """Make one.

        Args:
            to_k: from a token to its keys, one head beside the other.
            to_v: to its values.
            heads: how many.
            eps: of the norm (root mean square, without weights) of every key; None: keys are not normed.
        """
        super().__init__()
        self.to_k_ip, self.to_v_ip = to_k, to_v
        self._heads, self._eps = heads, eps

    def forward(self, tokens: Float[Tensor, "b q o"]) -> tuple[Tensor, Tensor]:
        """Keys and values, each (b, heads, q, head)."""
        k, v = (split(projection(tokens), self._heads) for projection in (self.to_k_ip, self.to_v_ip))
        return (k if self._eps is None else F.rms_norm(k, k.shape[-1:], eps=self._eps)), v


@dataclass(frozen=True, eq=False)
class Eye:
    """The encoder of an IP-adapter: a whole picture to one embedding."""

    kind: Kind
    model: Any
    output: str
    """Which of the model's outputs the embedding (1, e) is."""


@dataclass(frozen=True, eq=False)
class IpAdapter:
    """A loaded IP-adapter: a `SubjectAdapter`."""

    eye: Eye
    projection: nn.Module
    """An embedding (1, e) to tokens (1, q, o)."""
    readers: Mapping[str, Reader]
    """By block."""
    heads: int
    place: SubjectPlace
    device: torch.device
    offload: bool
    """Keep the encoder in main memory while it is not at work."""
    record: SubjectId

    @torch.no_grad()
    def encode(self, image: Image) -> Likeness:
        """See `SubjectAdapter.encode`; letterboxed, never squashed or cropped."""
        kind, model = self.eye.kind, self.eye.model
        picture = letterboxed(as_picture(image), int(model.config.image_size))
        with on_device((model,), self.device, offload=self.offload):
            seen = getattr(model(normalised([picture], kind, model)), self.eye.output)
        return Likeness(self, self.projection(seen.to(self.device)), _SCALE)


@dataclass(frozen=True, eq=False)
class Likeness:
    """A subject as seen once: a `Subject`, and its own `SubjectControl`, since it is the same at all times."""

    adapter: IpAdapter
    tokens: Float[Tensor, "1 q o"]
    scale: float
    kv: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict[str, tuple[Tensor, Tensor]])

    def under(self, config: SubjectConfig) -> Likeness:
        """See `Subject.under`; keys and values are those of every strength."""
        return replace(self, scale=_SCALE if config.scale is None else config.scale)

    def at(self, t: float) -> Likeness:
        """See `Subject.at`."""
        return self

    @property
    def blocks(self) -> frozenset[str]:
        """See `SubjectControl.blocks`."""
        return frozenset(self.adapter.readers)

    @property
    def place(self) -> SubjectPlace:
        """See `SubjectControl.place`."""
        return self.adapter.place

    def __call__(self, block: str, query: Projection) -> Projection:
        """See `SubjectControl`."""
        if block not in self.kv:
            with torch.no_grad():
                self.kv[block] = self.adapter.readers[block](self.tokens)
        return self.scale * read(split(query, self.adapter.heads), self.kv[block])
