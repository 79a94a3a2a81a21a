"""What autoencoders of diffusers give, and how a model's latents are normalised."""

from __future__ import annotations

from typing import Any

from torch import Tensor

_TILE = 512


def mode(encoded: Any) -> Tensor:
    """The mode of what an autoencoder's encoder gives, or its only answer."""
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents


def vae_affine(vae: Any) -> tuple[float, float]:
    """Shift and scale of an autoencoder: the model's latents are (z - shift) * scale."""
    return float(getattr(vae.config, "shift_factor", 0) or 0), float(vae.config.scaling_factor)


def tile(vae: Any) -> None:
    """Let an autoencoder encode and decode large pictures in tiles of 512 pixels, which it blends into each other."""
    vae.enable_tiling()
    if hasattr(vae, "tile_latent_min_size"):
        vae.tile_sample_min_size = _TILE
        vae.tile_latent_min_size = _TILE // stride_of(vae)
    if getattr(vae.config, "latent_magnitude", None) is not None:
        # The tiles of an AutoencoderTiny have four channels, whatever its latents have; its encoder needs no tiles.
        vae._tiled_encode = vae.encoder.forward


def stride_of(vae: Any) -> int:
    """Pixels along a side of a latent cell of an `AutoencoderKL`, or of one with the same stages."""
    return 2 ** (len(vae.config.block_out_channels) - 1)
