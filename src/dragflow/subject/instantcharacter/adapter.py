"""InstantCharacter for FLUX.1, the subject adapter of the paper (Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.core.config import SubjectConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectId, SubjectOptions
from dragflow.method.backbone import Backbone, Image, Projection, SubjectControl, SubjectPlace
from dragflow.subject.attention import KV
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.checkpoint import load_modules
from dragflow.subject.instantcharacter.encoders import PatchEncoders, load_encoders
from dragflow.subject.instantcharacter.projector import Projector

SCALE = 1.5
"""Strength where the configuration names none."""
PLACE = SubjectPlace(normed=False, output="attention")


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> InstantCharacter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    device, dtype = backbone.device, backbone.dtype
    return assemble(
        options,
        weights,
        backbone,
        lambda: load_encoders(options.siglip, options.dinov2, device, dtype, offload=offload),
        names=f"SigLIP {options.siglip} and DINOv2 {options.dinov2}",
    )


def assemble(
    options: SubjectOptions, weights: Path, backbone: Backbone, encoders: Callable[[], PatchEncoders], *, names: str
) -> InstantCharacter:
    """Load projector and attentions beside a model, then the encoders.

    Args:
        options: what the adapter records as its own.
        weights: the checkpoint of projector and attentions.
        backbone: the model; gives device and dtype.
        encoders: loads them.
        names: the encoders, as an error calls them.

    Raises:
        UserError: weights or encoders do not fit.
        CapabilityError: no subject can be injected into the model.
    """
    spec = backbone.spec
    if spec.subject_heads is None:
        raise CapabilityError(f"no subject can be injected into models of family {spec.family}: use FLUX.1")
    device, dtype = backbone.device, backbone.dtype
    projector, attentions = load_modules(weights, len(spec.blocks), spec.subject_heads, dtype)
    loaded, width = encoders(), projector.proj.fc1.in_features
    if loaded.width != width:
        raise UserError(
            f"`subject.weights` {weights}: trained for features of width {width}, but those of {names} have "
            f"{loaded.width}; use the encoders that it was trained with"
        )
    by_block = {block: attention.to(device) for block, attention in zip(spec.blocks, attentions, strict=True)}
    networks = (member.model for member in loaded.members)
    record = SubjectId(replace(options, fingerprint=None), with_networks(file_fingerprint(weights), networks))
    return InstantCharacter(loaded, projector.to(device), by_block, backbone.cache_device, record)


@dataclass(frozen=True, eq=False)
class InstantCharacter:
    """The loaded adapter: a `SubjectAdapter`."""

    encoders: PatchEncoders
    projector: Projector
    attentions: dict[str, SubjectAttention]
    """By block."""
    cache_device: Callable[[int], torch.device]
    """Where a cache of so many bytes should live."""
    record: SubjectId

    @torch.no_grad()
    def encode(self, image: Image) -> EncodedSubject:
        """See `SubjectAdapter.encode`; the picture is letterboxed."""
        return EncodedSubject(self, self.projector.fuse(self.encoders(image)), SubjectConfig())

    @property
    def kv_bytes(self) -> int:
        """Size of the keys and values of all blocks at one time."""
        tokens = self.projector.resampler.latents
        return 2 * tokens.shape[1] * tokens.itemsize * sum(x.to_k_ip.out_features for x in self.attentions.values())


@dataclass(frozen=True, eq=False)
class EncodedSubject:
    """One subject: a `Subject`. What depends on the time alone is computed at most once for each time, and kept."""

    adapter: InstantCharacter
    fused: Float[Tensor, "1 k d"]
    """Its features, before the time comes in."""
    config: SubjectConfig
    by_time: dict[float, _AtTime] = field(default_factory=dict[float, "_AtTime"])

    def under(self, config: SubjectConfig) -> EncodedSubject:
        """See `Subject.under`."""
        return replace(self, config=config, by_time={})

    @torch.no_grad()
    def at(self, t: float) -> SubjectControl:
        """See `Subject.at`."""
        if t not in self.by_time:
            tokens = self.adapter.projector.resampler(self.fused, t * self.config.time_scale)
            cache_device = self.adapter.cache_device(self.adapter.kv_bytes)
            scale = SCALE if self.config.scale is None else self.config.scale
            self.by_time[t] = _AtTime(self.adapter.attentions, tokens, scale, cache_device)
        return self.by_time[t]


@dataclass(frozen=True, eq=False)
class _AtTime:
    """A subject at one time: a `SubjectControl`."""

    attentions: dict[str, SubjectAttention]
    tokens: Float[Tensor, "1 q o"]
    scale: float
    cache_device: torch.device
    """Where keys and values are kept."""
    kv: dict[str, KV] = field(default_factory=dict[str, KV])
    """Of the blocks that have run: an edit's features need only those before the last tap."""
    place: SubjectPlace = PLACE

    @property
    def blocks(self) -> frozenset[str]:
        return frozenset(self.attentions)

    def __call__(self, block: str, query: Projection) -> Projection:
        attention = self.attentions[block]
        if block not in self.kv:
            # The cache outlives this call, so it must not hold a graph.
            with torch.no_grad():
                k, v = attention.project(self.tokens)
            self.kv[block] = k.to(self.cache_device), v.to(self.cache_device)
        k, v = self.kv[block]
        return self.scale * attention(query, (k.to(query.device), v.to(query.device)))
