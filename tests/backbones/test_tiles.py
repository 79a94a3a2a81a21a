"""Tiles of autoencoders, small ones among them."""

from __future__ import annotations

from typing import Any

import torch

from dragflow.backbones.vae import tile


def test_a_tiny_autoencoder_with_16_channels_is_decoded_in_tiles() -> None:
    from diffusers import AutoencoderTiny

    make: Any = AutoencoderTiny
    vae = make(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=16,
    ).eval()
    image = torch.rand(1, 3, 64, 576)
    names = list(vae.state_dict())
    with torch.no_grad():
        latents = vae.encode(image).latents
        tile(vae)
        assert torch.equal(vae.encode(image).latents, latents)
        assert vae.decode(latents).sample.shape == image.shape
    assert list(vae.state_dict()) == names
