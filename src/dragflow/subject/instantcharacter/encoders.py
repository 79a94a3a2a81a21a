"""InstantCharacter's image encoders: SigLIP and DINOv2 on a letterboxed picture, whole and in 2 x 2 larger crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image as Pictures
from torch import Tensor

from dragflow.backbones.devices import idle_device, on_device
from dragflow.core.errors import UserError
from dragflow.method.backbone import Image
from dragflow.subject.encoders import (
    DINOV2,
    SIGLIP,
    EncoderSpec,
    letterbox,
    load_network,
    pixel_values,
    to_pil,
)
from dragflow.subject.instantcharacter.projector import SubjectFeatures

_CROPS = 2
"""Crops along each side."""


@dataclass(frozen=True)
class PatchSpec:
    """Which features of an encoder's patches are used."""

    encoder: EncoderSpec
    layers: tuple[int, int, int]
    """Hidden states that are the shallow features; 0 is the embedding."""
    prefix_tokens: int = 0
    """Tokens before those of the patches."""


class Views(NamedTuple):
    """A subject's picture as the encoders take it: square pictures of one size."""

    whole: Pictures.Image
    crops: list[Pictures.Image]
    """The four quarters, row by row, at twice the resolution."""


@dataclass(frozen=True, eq=False)
class PatchEncoder:
    """A vision transformer, and the features of its patches."""

    spec: PatchSpec
    model: Any

    def __call__(self, pictures: Sequence[Pictures.Image]) -> tuple[Tensor, Tensor]:
        """Shallow (b, 3 n, d) and deep (b, n, d) features of b square pictures."""
        # All members get one picture size: SigLIP's is fixed, and DINOv2 interpolates its positions to it.
        output = self.model(pixel_values(pictures, self.spec.encoder, self.model), output_hidden_states=True)
        first = self.spec.prefix_tokens
        shallow = torch.cat([output.hidden_states[i][:, first:] for i in self.spec.layers], dim=1)
        return shallow, output.last_hidden_state[:, first:]


@dataclass(frozen=True, eq=False)
class PatchEncoders:
    """Encoders of the same patches, and the device they work on."""

    members: tuple[PatchEncoder, ...]
    """Their features are concatenated; the first one's picture size is that of all."""
    device: torch.device
    offload: bool

    @property
    def width(self) -> int:
        """Channels of all members together."""
        return sum(int(member.model.config.hidden_size) for member in self.members)

    @property
    def side(self) -> int:
        """Side of the square pictures that they take, in pixels."""
        return int(self.members[0].model.config.image_size)

    @torch.no_grad()
    def __call__(self, image: Image) -> SubjectFeatures:
        """Features of the subject in a picture (1, 3, H, W), low and high resolution, shallow and deep layers."""
        with on_device([member.model for member in self.members], self.device, offload=self.offload):
            return self.encode_views([make_views(image, self.side)])

    def encode_views(self, subjects: Sequence[Views]) -> SubjectFeatures:
        """Features of b subjects; gradients flow to the encoders' weights."""
        shallow, deep = self._encode([views.whole for views in subjects])
        _, high = self._encode([crop for views in subjects for crop in views.crops])
        return SubjectFeatures(shallow, deep, rearrange(high, "(b c) n d -> b (c n) d", b=len(subjects)))

    def _encode(self, pictures: Sequence[Pictures.Image]) -> tuple[Tensor, Tensor]:
        shallow, deep = zip(*(member(pictures) for member in self.members), strict=True)
        return torch.cat(shallow, dim=-1), torch.cat(deep, dim=-1)


def make_views(image: Float[Tensor, "1 3 H W"], side: int) -> Views:
    """The picture letterboxed to side x side pixels, and the quarters of it letterboxed to twice that."""
    picture = to_pil(image)
    large = letterbox(picture, _CROPS * side)
    corners = [(column * side, row * side) for row in range(_CROPS) for column in range(_CROPS)]
    return Views(letterbox(picture, side), [large.crop((x, y, x + side, y + side)) for x, y in corners])


def load_encoders(
    siglip: str, dinov2: str, device: torch.device, dtype: torch.dtype, *, offload: bool
) -> PatchEncoders:
    """Load both encoders, from folders or hub ids.

    Raises:
        UserError: one is missing, has another architecture or too few layers, or their numbers of patches differ.
    """
    from transformers import Dinov2Model, SiglipVisionModel

    idle = idle_device(device, offload=offload)
    members = (
        load_encoder(PatchSpec(SIGLIP, (7, 13, 26)), SiglipVisionModel, siglip, idle, dtype),
        load_encoder(PatchSpec(DINOV2, (9, 19, 29), prefix_tokens=1), Dinov2Model, dinov2, idle, dtype),
    )
    encoders = PatchEncoders(members, device, offload)
    patches = [encoders.side // int(member.model.config.patch_size) for member in members]
    if patches[0] != patches[1]:
        raise UserError(
            f"SigLIP {siglip} has {patches[0]} patches on a side and DINOv2 {dinov2} {patches[1]}: the numbers must be "
            "equal; use the encoders that the adapter was trained with"
        )
    return encoders


def load_encoder(spec: PatchSpec, cls: Any, model: str, device: torch.device, dtype: torch.dtype) -> PatchEncoder:
    """Load one encoder, from a folder or a hub id.

    Raises:
        UserError: it is missing, or has another architecture or too few layers.
    """
    network = load_network(spec.encoder, cls, model, device, dtype)
    depth = int(network.config.num_hidden_layers)
    if depth < spec.layers[-1]:
        raise UserError(
            f"{spec.encoder.name} {model} has {depth} layers, but the subject adapter uses the features of layer "
            f"{spec.layers[-1]}: use the encoder that it was trained with"
        )
    return PatchEncoder(spec, network)
