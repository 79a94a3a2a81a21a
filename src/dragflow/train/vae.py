"""The autoencoder (TAEF1 layout: no normalisation, so an edit stays local), warm-started on principal components.

The encoder's convolutions are set so that it *is* the projection of 8 x 8 patches onto their principal components; the
decoder learns to invert that, then both learn together. Training from scratch for as long gives several dB less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dragflow import world
from dragflow.train import data, state
from dragflow.train.state import Run

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny

RAW_STD = 0.3
"""Of the latents before scaling_factor; small, so that the decoder's tanh(x / 3) clamp stays linear."""
WHITENING = 0.5
"""1 gives every component the same variance, 0 leaves each its own."""


@dataclass(frozen=True)
class VaeConfig:
    """Sizes and rates of the autoencoder's training."""

    width: int = 48
    encoder_blocks: tuple[int, int, int, int] = (0, 0, 2, 3)
    decoder_blocks: tuple[int, int, int, int] = (3, 2, 1, 1)
    channels: int = 16
    crop: int = 128
    batch: int = 8
    rate: float = 1.5e-3
    encoder_rate: float = 0.2
    """Share of the rate that the encoder gets once it learns."""
    frozen: float = 0.25
    """Share of the steps in which the encoder stays the linear projection."""
    noise: float = 0.06
    """Noise on the latents the decoder sees, in their standard deviations."""
    decay: float = 0.998
    photographs: float = 0.25
    """Share of crops that are photographs."""


def build(config: VaeConfig) -> AutoencoderTiny:
    """An untrained autoencoder."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(config.width,) * 4,
        decoder_block_out_channels=(config.width,) * 4,
        latent_channels=config.channels,
        num_encoder_blocks=config.encoder_blocks,
        num_decoder_blocks=config.decoder_blocks,
    )


def trained(config: VaeConfig, out: Path, start: Path | None = None) -> AutoencoderTiny:
    """The autoencoder with the averaged weights of out/vae, or that of the folder `start` if none was trained."""
    model, checkpoint = build(config), out / "vae" / "state.safetensors"
    if start is not None and not checkpoint.exists():
        begin_with(model, start)
    else:
        state.load_average(checkpoint, model)
    return model


def begin_with(model: AutoencoderTiny, folder: Path) -> None:
    """Load the weights of an exported folder."""
    model.load_state_dict(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"))


def principal_components(config: VaeConfig, seed: int, pictures: int = 192) -> tuple[Tensor, Tensor]:
    """The linear encoder (channels, 192) of patches (dy, dx, rgb) with values in [0, 1], and its bias (channels)."""
    rng = np.random.default_rng([seed, 0, 1])
    batch = data.crops(rng, pictures, config.crop, config.photographs).astype(np.float64) / 255
    n, side = batch.shape[0], config.crop // 8
    patches = batch.reshape(n, side, 8, side, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 192)
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    values, vectors = values[::-1][: config.channels], vectors[:, ::-1][:, : config.channels]
    gains = values ** (-WHITENING / 2)
    gains *= RAW_STD / np.sqrt(np.mean(values * gains**2))
    projection = (vectors * gains).T
    return torch.from_numpy(projection.copy()).float(), torch.from_numpy(-projection @ mean).float()


@torch.no_grad()
def warm_start(model: AutoencoderTiny, projection: Tensor, bias: Tensor) -> None:
    """Set the encoder to the linear projection; the residual blocks start as the identity."""
    from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock

    convolutions: list[Any] = [m for m in model.encoder.layers if isinstance(m, nn.Conv2d)]
    for module in model.encoder.modules():
        if isinstance(module, AutoencoderTinyBlock):
            for parameter in module.conv[4].parameters():
                nn.init.zeros_(parameter)
    first, *downs, last = convolutions
    first.weight[:3], first.bias[:3] = 0, 0
    for c in range(3):
        first.weight[c, c, 1, 1] = 1
    depth = 3
    for down in downs[:-1]:  # space to depth: output (dy, dx, c) copies one of the 2 x 2 pixels
        down.weight[: 4 * depth] = 0
        for i in range(4 * depth):
            position, c = divmod(i, depth)
            down.weight[i, c, 1 + position // 2, 1 + position % 2] = 1
        depth *= 4
    channels = projection.shape[0]
    # Depth now runs (dy2, dx2, dy1, dx1, c), where a pixel's offset in the 8 x 8 patch is 4 dy3 + 2 dy2 + dy1.
    patch = projection.reshape(channels, 2, 2, 2, 2, 2, 2, 3)  # k, y3, y2, y1, x3, x2, x1, c
    taps = patch.permute(0, 2, 5, 3, 6, 7, 1, 4).reshape(channels, 48, 2, 2)
    downs[-1].weight[: 2 * channels] = 0
    downs[-1].weight[:channels, :48, 1:, 1:] = taps
    downs[-1].weight[channels : 2 * channels, :48, 1:, 1:] = -taps  # ReLU(x) - ReLU(-x) = x
    last.weight[:] = 0
    for k in range(channels):
        last.weight[k, k, 1, 1], last.weight[k, channels + k, 1, 1] = 1, -1
    last.bias[:] = bias


def train(config: VaeConfig, run: Run, start: Path | None = None) -> AutoencoderTiny:
    """Train the autoencoder and return it with averaged weights; checkpoints go to out/vae.

    With `start`, the training begins with the weights of this exported folder, and only the decoder learns: the
    latents stay those that the folder's flow model was trained on.
    """
    torch.manual_seed(run.seed)
    model = build(config)
    nn.Module.to(model, run.device)
    if start is not None:
        begin_with(model, start)
        config = replace(config, frozen=1.0)
    elif not run.resume:
        projection, bias = principal_components(config, run.seed)
        warm_start(model, projection.to(run.device), bias.to(run.device))
    groups = [
        {"params": model.encoder.parameters(), "lr": config.encoder_rate * config.rate},
        {"params": model.decoder.parameters(), "lr": config.rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    state.fit(
        run,
        run.out / "vae",
        model,
        [optimizer],
        lambda step: state.rate(step, run.steps, 50, 0.8),
        config.decay,
        lambda step: _step(config, run, model, optimizer, step),
        lambda picture: evaluate(model, run.device, picture),
    )
    return model


def _step(config: VaeConfig, run: Run, model: AutoencoderTiny, optimizer: torch.optim.Optimizer, step: int) -> float:
    rng, generator = state.generators(run.seed, step, run.device)
    x = state.to_tensor(data.crops(rng, config.batch, config.crop, config.photographs)).to(run.device)
    encoder_learns = step >= config.frozen * run.steps
    with state.mixed_precision(run.device):
        with torch.set_grad_enabled(encoder_learns):
            z = model.encoder(x).float()
        noise = torch.randn(z.shape, generator=generator, device=z.device)
        amount = torch.rand(z.shape[0], 1, 1, 1, generator=generator, device=z.device)
        y = model.decoder(z + RAW_STD * config.noise * amount * noise).float()
    loss = (y - x).abs().mean() + 2 * (y - x).pow(2).mean()
    if encoder_learns:  # a light pull keeps the scale of the latents where it began
        loss = loss + 0.01 * (z.std() / RAW_STD - 1).pow(2) + 0.01 * z.mean().pow(2)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def evaluate(model: AutoencoderTiny, device: str, picture: Path, scenes: int = 24) -> dict[str, float]:
    """PSNR in dB on held-out scenes of 256 pixels and on held-out photographs; draws a sample sheet into `picture`."""
    held_out = np.stack([world.scene(i, 256, split="test").render() for i in range(scenes)])
    x = state.to_tensor(held_out).to(device)
    y = torch.cat([model.decoder(model.encoder(part)) for part in x.split(4)])
    photographs = [
        state.to_tensor(photo[None, : photo.shape[0] // 8 * 8, : photo.shape[1] // 8 * 8]).to(device)
        for photo in data.photographs(data.TEST_PHOTOGRAPHS)
    ]
    decoded = [model.decoder(model.encoder(photo)) for photo in photographs]
    middle = torch.cat([photo[..., 20:276, 100:356] for photo in (*photographs, *decoded)])
    state.sheet(picture, [x[:4], y[:4], middle])
    return {
        "scenes_db": state.psnr(y, x),
        "photographs_db": float(np.mean([state.psnr(b, a) for a, b in zip(photographs, decoded, strict=True)])),
    }
