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
from dragflow.subject.checkpoint import load_modules
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.encoders import Encoders, load_encoders
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
        names=f"SigLIP {options.siglip} and DINOv2 {options.dinov2} give",
    )


def assemble(
    options: SubjectOptions, weights: Path, backbone: Backbone, encoders: Callable[[], Encoders], *, names: str
) -> InstantCharacter:
    """Load projector and attentions beside a model, then the encoders; `names` begins an error about these.

    Raises:
        UserError: weights or encoders do not fit.
        CapabilityError: the model has no place for a subject.
    """
    spec = backbone.spec
    if spec.subject_heads is None:
        raise CapabilityError(f"no subject can be injected into a model of family {spec.family}: use FLUX.1")
    device, dtype = backbone.device, backbone.dtype
    projector, attentions = load_modules(weights, len(spec.blocks), spec.subject_heads, dtype)
    seen, features = encoders(), projector.proj.fc1.in_features
    if seen.width != features:
        raise UserError(
            f"{names} features of width {seen.width}: subject weights {weights} take {features}; use the encoders "
            "that they were trained with"
        )
    named = {block: attention.to(device) for block, attention in zip(spec.blocks, attentions, strict=True)}
    record = SubjectId(
        replace(options, fingerprint=None), with_networks(file_fingerprint(weights), (eye.model for eye in seen.eyes))
    )
    return InstantCharacter(seen, projector.to(device), named, backbone.cache_device, record)


@dataclass(frozen=True, eq=False)
class InstantCharacter:
    """The loaded adapter: a `SubjectAdapter`."""

    encoders: Encoders
    projector: Projector
    attentions: dict[str, SubjectAttention]
    """By block."""
    cache_device: Callable[[int], torch.device]
    """Where a cache of so many bytes should live."""
    record: SubjectId

    @torch.no_grad()
    def encode(self, image: Image) -> Character:
        """See `SubjectAdapter.encode`; letterboxed, never squashed."""
        return Character(self, self.projector.fuse(self.encoders(image)), SubjectConfig())

    @property
    def moment_bytes(self) -> int:
        """Size of the keys and values of all blocks at one time."""
        tokens = self.projector.resampler.latents
        return 2 * tokens.shape[1] * tokens.itemsize * sum(x.to_k_ip.out_features for x in self.attentions.values())


@dataclass(frozen=True, eq=False)
class Character:
    """One subject: a `Subject`. What depends on the time alone is computed at most once for each time, and kept."""

    adapter: InstantCharacter
    fused: Float[Tensor, "1 k d"]
    """Its features, before the time comes in."""
    config: SubjectConfig
    moments: dict[float, _Moment] = field(default_factory=dict[float, "_Moment"])

    def under(self, config: SubjectConfig) -> Character:
        """See `Subject.under`."""
        return replace(self, config=config, moments={})

    @torch.no_grad()
    def at(self, t: float) -> SubjectControl:
        """See `Subject.at`."""
        if t not in self.moments:
            tokens = self.adapter.projector.resampler(self.fused, t * self.config.time_scale)
            home = self.adapter.cache_device(self.adapter.moment_bytes)
            scale = SCALE if self.config.scale is None else self.config.scale
            self.moments[t] = _Moment(self.adapter.attentions, tokens, scale, home)
        return self.moments[t]


@dataclass(frozen=True, eq=False)
class _Moment:
    """A subject at one time: a `SubjectControl`."""

    attentions: dict[str, SubjectAttention]
    tokens: Float[Tensor, "1 q o"]
    scale: float
    home: torch.device
    """Where keys and values are kept."""
    kv: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict[str, tuple[Tensor, Tensor]])
    place: SubjectPlace = PLACE

    @property
    def blocks(self) -> frozenset[str]:
        return frozenset(self.attentions)

    def __call__(self, block: str, query: Projection) -> Projection:
        attention = self.attentions[block]
        if block not in self.kv:
            with torch.no_grad():
                k, v = attention.project(self.tokens)
            self.kv[block] = k.to(self.home), v.to(self.home)
        k, v = self.kv[block]
        return self.scale * attention(query, (k.to(query.device), v.to(query.device)))
