"""InstantCharacter for FLUX.1, the subject adapter of the paper (Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectId, SubjectOptions
from dragflow.method.backbone import Backbone, Image, SubjectPlace
from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.checkpoint import load_modules
from dragflow.subject.instantcharacter.encoders import PatchEncoders, load_encoders
from dragflow.subject.instantcharacter.projector import Projector
from dragflow.subject.resampler import Resampler
from dragflow.subject.timed import EncodedSubject

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
    place: SubjectPlace = PLACE
    scale: float = SCALE

    @torch.no_grad()
    def encode(self, image: Image) -> EncodedSubject:
        """See `SubjectAdapter.encode`; the picture is letterboxed."""
        return EncodedSubject(self, self.projector.fuse(self.encoders(image)))

    @property
    def resampler(self) -> Resampler:
        """See `TimedAdapter.resampler`."""
        return self.projector.resampler
