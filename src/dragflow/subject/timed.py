"""Subjects whose tokens depend on the time. What depends on the time alone is computed at most once for each time, and
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.core.config import SubjectConfig
from dragflow.method.backbone import OwnKV, Projection, SubjectControl, SubjectPlace
from dragflow.subject.attention import KV
from dragflow.subject.resampler import Resampler


class TimedAttention(Protocol):
    """An adapter's part of one attention of the model."""

    to_k_ip: nn.Linear

    def project(self, tokens: Float[Tensor, "b q o"], time: Float[Tensor, "b w"], /) -> KV:
        """Keys and values of subject tokens at a time, as the resampler embeds it."""
        ...

    def __call__(self, query: Projection, kv: KV, own: OwnKV | None = None, /) -> Projection:
        """What is added for the tokens of these queries; `own` where the adapter's place asks for it."""
        ...


class TimedAdapter(Protocol):
    """An adapter that makes tokens of features and a time."""

    @property
    def resampler(self) -> Resampler:
        """From features and a time to tokens."""
        ...

    @property
    def attentions(self) -> Mapping[str, TimedAttention]:
        """By block."""
        ...

    @property
    def place(self) -> SubjectPlace:
        """Where they act."""
        ...

    @property
    def scale(self) -> float:
        """Strength where the configuration names none."""
        ...

    @property
    def cache_device(self) -> Callable[[int], torch.device]:
        """Where a cache of so many bytes should live."""
        ...


@dataclass(frozen=True, eq=False)
class EncodedSubject:
    """One subject: a `Subject`."""

    adapter: TimedAdapter
    fused: Float[Tensor, "1 k d"]
    """Its features, before the time comes in."""
    config: SubjectConfig = field(default_factory=SubjectConfig)
    by_time: dict[float, AtTime] = field(default_factory=dict[float, "AtTime"])

    def under(self, config: SubjectConfig) -> EncodedSubject:
        """See `Subject.under`."""
        return replace(self, config=config, by_time={})

    @cached_property
    def negative(self) -> EncodedSubject:
        """See `Subject.negative`: features of zeros, whose tokens depend on the time, too."""
        return replace(self, fused=torch.zeros_like(self.fused), by_time={})

    @torch.no_grad()
    def at(self, t: float) -> SubjectControl:
        """See `Subject.at`."""
        if t not in self.by_time:
            adapter, time = self.adapter, t * self.config.time_scale
            tokens, embedded = adapter.resampler(self.fused, time), adapter.resampler.embed(time)
            scale = adapter.scale if self.config.scale is None else self.config.scale
            cache_device = adapter.cache_device(_kv_bytes(tokens, adapter.attentions))
            self.by_time[t] = AtTime(adapter.attentions, adapter.place, tokens, embedded, scale, cache_device)
        return self.by_time[t]


@dataclass(frozen=True, eq=False)
class AtTime:
    """A subject at one time: a `SubjectControl`."""

    attentions: Mapping[str, TimedAttention]
    place: SubjectPlace
    tokens: Float[Tensor, "1 q o"]
    embedded: Float[Tensor, "1 w"]
    """The time."""
    scale: float
    cache_device: torch.device
    """Where keys and values are kept."""
    kv: dict[str, KV] = field(default_factory=dict[str, KV])
    """Of the blocks that have run: an edit's features need only those before the last tap."""

    @property
    def blocks(self) -> frozenset[str]:
        """See `SubjectControl.blocks`."""
        return frozenset(self.attentions)

    def __call__(self, block: str, query: Projection, own: OwnKV | None = None) -> Projection:
        """See `SubjectControl`."""
        attention = self.attentions[block]
        if block not in self.kv:
            # The cache outlives this call, so it must not hold a graph.
            with torch.no_grad():
                k, v = attention.project(self.tokens, self.embedded)
            self.kv[block] = k.to(self.cache_device), v.to(self.cache_device)
        k, v = self.kv[block]
        return self.scale * attention(query, (k.to(query.device), v.to(query.device)), own)


def _kv_bytes(tokens: Float[Tensor, "1 q o"], attentions: Mapping[str, TimedAttention]) -> int:
    """Size of the keys and values of all blocks at one time."""
    return 2 * tokens.shape[1] * tokens.itemsize * sum(each.to_k_ip.out_features for each in attentions.values())
