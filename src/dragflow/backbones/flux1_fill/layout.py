"""What FLUX.1 Fill is told beside each token of the latent, and what that means for its configuration."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.configs import Config
from dragflow.backbones.flux1.layout import check_channels
from dragflow.backbones.packing import PATCH, pack
from dragflow.method.backbone import Fill

_CELL = 8
"""Pixels along each side of a latent cell, whose mask is as many channels."""


def packed(fill: Fill) -> Float[Tensor, "1 n k"]:
    """Of each token: the latent of the picture that is kept, then the mask, 1 where the model draws."""
    pixels = rearrange(fill.mask.to(fill.z), "(h y) (w x) -> 1 (y x) h w", y=_CELL, x=_CELL)
    return torch.cat([pack(fill.z), pack(pixels)], dim=2)


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """Check that the networks' configurations, with defaults, fit each other.

    Raises:
        UserError: names part, key, value and rule.
    """
    cell = configs["vae"]["latent_channels"]
    patch = f"{PATCH} x {PATCH} cells of"
    channels = {
        "in_channels": (
            PATCH**2 * (2 * cell + _CELL**2),
            f"{patch} the {cell} latent_channels of the vae, as many of the picture that is kept, and {_CELL} x "
            f"{_CELL} pixels of the mask",
        ),
        "out_channels": (PATCH**2 * cell, f"{patch} the {cell} latent_channels of the vae"),
    }
    check_channels(model, configs, channels)
