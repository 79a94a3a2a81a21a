"""What a model that fills is told: a picture of which nothing is drawn, or one with a hole."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from dragflow.method.backbone import Backbone, BackboneSpec, Fill, Image, Latent

_GREY = 0.5
"""What hides the pixels that are drawn, between black and white."""


def kept(z: Latent, spec: BackboneSpec) -> Fill | None:
    """A picture of which nothing is drawn, by its latent (1, c, h, w); None for a model that is not told.

    It says what is there without saying what will become of it, so that an inversion serves every edit of a picture.
    """
    if not spec.fills:
        return None
    size = (z.shape[-2] * spec.latent_stride, z.shape[-1] * spec.latent_stride)
    return Fill(z, torch.zeros(size, dtype=torch.bool, device=z.device))


def with_hole(backbone: Backbone, image: Image, hole: Bool[Tensor, "H W"]) -> Fill:
    """A picture at the model's working size, of which a hole is drawn."""
    return Fill(backbone.encode(torch.where(hole, _GREY, image)), hole.to(backbone.device))
