"""The eyes of InstantCharacter, SigLIP and DINOv2: a subject letterboxed, seen whole and in 2 x 2 closer crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image as Pictures
from torch import Tensor

from dragflow.backbones.devices import on_device
from dragflow.core.errors import UserError
from dragflow.method.backbone import Image
from dragflow.subject.instantcharacter.projector import SubjectFeatures
from dragflow.subject.vision import Kind, as_picture, letterboxed, load_network, normalised

_CROPS = 2
"""Crops along each side, each as large as the whole picture is when seen at once."""


@dataclass(frozen=True)
class EncoderKind(Kind):
    """The facts of one encoder."""

    layers: tuple[int, int, int]
    """Hidden states that are the shallow features; 0 is the embedding."""
    leading: int
    """Tokens before those of the patches."""


SIGLIP = EncoderKind("SigLIP", "siglip", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (7, 13, 26), 0)
_DINOV2 = EncoderKind("DINOv2", "dinov2", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (9, 19, 29), 1)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A vision transformer, and what is taken from it."""

    kind: EncoderKind
    model: Any

    def __call__(self, pictures: Sequence[Pictures.Image]) -> tuple[Tensor, Tensor]:
        """Shallow (b, 3 n, d) and deep (b, n, d) features of b square pictures."""
        kind = self.kind
        # DINOv2 interpolates its positions to the picture's size, SigLIP has its own size.
        seen = self.model(normalised(pictures, kind, self.model), output_hidden_states=True)
        shallow = torch.cat([seen.hidden_states[i][:, kind.leading :] for i in kind.layers], dim=1)
        return shallow, seen.last_hidden_state[:, kind.leading :]


@dataclass(frozen=True, eq=False)
class Encoders:
    """Encoders that look at the same patches, and the device they work on."""

    eyes: tuple[Encoder, ...]
    """Their features are put side by side; the first one's picture size is that of all."""
    device: torch.device
    offload: bool

    @property
    def width(self) -> int:
        """Channels of all together."""
        return sum(int(encoder.model.config.hidden_size) for encoder in self.eyes)

    @torch.no_grad()
    def __call__(self, image: Image) -> SubjectFeatures:
        """Features of the subject in a picture (1, 3, H, W), low and high resolution, shallow and deep layers."""
        with on_device([encoder.model for encoder in self.eyes], self.device, offload=self.offload):
            return self.look([views(image, self.side)])

    @property
    def side(self) -> int:
        """Side of the square pictures that they take, in pixels."""
        return int(self.eyes[0].model.config.image_size)

    def look(self, subjects: Sequence[tuple[Pictures.Image, list[Pictures.Image]]]) -> SubjectFeatures:
        """Features of b subjects, each given as `views` does; gradients flow to the encoders' weights."""
        shallow, deep = self._see([whole for whole, _ in subjects])
        _, high = self._see([crop for _, crops in subjects for crop in crops])
        return SubjectFeatures(shallow, deep, rearrange(high, "(b c) n d -> b (c n) d", b=len(subjects)))

    def _see(self, pictures: Sequence[Pictures.Image]) -> tuple[Tensor, Tensor]:
        shallow, deep = zip(*(encoder(pictures) for encoder in self.eyes), strict=True)
        return torch.cat(shallow, dim=-1), torch.cat(deep, dim=-1)


def views(image: Float[Tensor, "1 3 H W"], side: int) -> tuple[Pictures.Image, list[Pictures.Image]]:
    """The whole picture letterboxed to side x side, and its four quarters, each of that size too."""
    picture = as_picture(image)
    large = letterboxed(picture, _CROPS * side)
    corners = [(column * side, row * side) for row in range(_CROPS) for column in range(_CROPS)]
    return letterboxed(picture, side), [large.crop((x, y, x + side, y + side)) for x, y in corners]


def load_encoders(siglip: str, dinov2: str, device: torch.device, dtype: torch.dtype, *, offload: bool) -> Encoders:
    """Load both encoders, from folders or hub ids.

    Raises:
        UserError: one is missing, is another architecture, or too shallow; or they see different numbers of patches.
    """
    from transformers import Dinov2Model, SiglipVisionModel

    home = torch.device("cpu") if offload else device
    eyes = (
        load_encoder(SIGLIP, SiglipVisionModel, siglip, home, dtype),
        load_encoder(_DINOV2, Dinov2Model, dinov2, home, dtype),
    )
    encoders = Encoders(eyes, device, offload)
    patches = [encoders.side // int(encoder.model.config.patch_size) for encoder in eyes]
    if patches[0] != patches[1]:
        raise UserError(
            f"SigLIP {siglip} sees {patches[0]} patches on a side and DINOv2 {dinov2} {patches[1]}: they must be equal"
        )
    return encoders


def load_encoder(kind: EncoderKind, cls: Any, model: str, device: torch.device, dtype: torch.dtype) -> Encoder:
    """Load one encoder, from a folder or a hub id.

    Raises:
        UserError: it is missing, another architecture, or too shallow.
    """
    network = load_network(kind, cls, model, device, dtype)
    depth = int(network.config.num_hidden_layers)
    if depth < kind.layers[-1]:
        raise UserError(
            f"{kind.name} {model} has {depth} layers: the subject adapter takes features of layer {kind.layers[-1]}"
        )
    return Encoder(kind, network)
