"""What autoencoders of diffusers give, and how a model's latents are normalised."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def mode(encoded: Any) -> Tensor:
    """The mode of what an autoencoder's encoder gives, or its only answer."""
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents


def vae_affine(vae: Any) -> tuple[float, float]:
    """Shift and scale of an autoencoder: the model's latents are (z - shift) * scale."""
    return float(getattr(vae.config, "shift_factor", 0) or 0), float(vae.config.scaling_factor)


def stride_of(vae: Any) -> int:
    """Pixels along a side of a latent cell of an `AutoencoderKL`, or of one with the same stages."""
    return 2 ** (len(vae.config.block_out_channels) - 1)
