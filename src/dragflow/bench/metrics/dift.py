"""DIFT features (Tang et al. 2023): activations of Stable Diffusion 2.1's UNet on a noised picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.devices import pick_device
from dragflow.backbones.hub import find
from dragflow.backbones.parts import load_part, part_of
from dragflow.bench.metrics.features import MAX_PIXELS, Features, model_name, over_noise, pick_model
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.editor.frames import as_image, working_size

VARIABLE = "DRAGFLOW_DIFT"
_PARTS = ("scheduler", "tokenizer", "text_encoder", "vae", "unet")

_MULTIPLE = 64  # 8 pixels a latent cell, and three halvings in the UNet


@dataclass(frozen=True, eq=False)
class Dift:
    """The parts of a Stable Diffusion, and where the features are taken."""

    name: str
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    t: int = 261
    """Time step of the noise, out of 1000."""
    up_block: int = 1
    """The upward block whose output is taken."""
    ensemble: int = 8
    """Draws of noise that the features are averaged over."""
    seed: int = 0
    prompted: bool = True

    @torch.no_grad()
    def __call__(self, image: Pixels, prompt: str) -> Features:
        """See `FeatureExtractor`; sides are scaled to multiples of 64."""
        size = working_size((image.shape[0], image.shape[1]), MAX_PIXELS, _MULTIPLE)
        z, text = self._encode(as_image(image, size)), self._text(prompt)
        t = torch.tensor([self.t], device=z.device)

        def features(noise: Tensor) -> Features:
            noisy = self.scheduler.add_noise(z, noise, t)
            return up_block_output(self.unet, self.up_block, noisy, t, text)[0]

        return over_noise(z, self.ensemble, self.seed, features)

    def _encode(self, image: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "1 c h w"]:
        encoded = self.vae.encode((image * 2 - 1).to(self.vae.device))
        return encoded.latent_dist.mode() * self.vae.config.scaling_factor

    def _text(self, prompt: str) -> Float[Tensor, "1 n d"]:
        tokens = self.tokenizer(
            prompt,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0]


class _ReachedError(Exception):
    """Ends the UNet's forward pass at the features, so that the blocks after them are not run."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


def up_block_output(unet: Any, block: int, z: Tensor, t: Tensor, text: Tensor) -> Float[Tensor, "b c h w"]:
    """Output of an upward block of a UNet; no block after it is run."""

    def stop(module: object, arguments: object, output: Tensor) -> None:
        raise _ReachedError(output)

    hook = unet.up_blocks[block].register_forward_hook(stop)
    try:
        unet(z, t, text)
    except _ReachedError as reached:
        return reached.output
    finally:
        hook.remove()
    raise RuntimeError(f"upward block {block} was not run")


def load_dift(model: str | None = None, device: str | None = None) -> Dift:
    """Load DIFT from a Stable Diffusion in diffusers layout, a hub id or a folder; default $DRAGFLOW_DIFT.

    Raises:
        UserError: no model, a part missing, or another architecture.
    """
    model = pick_model(model, VARIABLE, "dift", "Stable Diffusion 2.1 in diffusers layout, a folder or a hub id,")
    target = pick_device(device)
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = str(find(model, parts=_PARTS))
    with part_of(model, "scheduler"):
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    with part_of(model, "tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
    text_encoder = load_part(CLIPTextModel, folder, "text_encoder", target, subfolder="text_encoder")
    vae = load_part(AutoencoderKL, folder, "vae", target, subfolder="vae")
    unet = load_part(UNet2DConditionModel, folder, "unet", target, subfolder="unet")
    _check(model, unet, text_encoder, tokenizer)
    return Dift(f"DIFT ({_version(model, unet)})", unet, vae, text_encoder, tokenizer, scheduler)


def _check(model: str, unet: Any, text_encoder: Any, tokenizer: Any) -> None:
    """Refuse what takes more than a picture, a time and the text of one encoder."""
    words, known = len(tokenizer), text_encoder.config.vocab_size
    if words < known:  # without its files, transformers makes an empty tokenizer silently
        raise UserError(
            f"model {model}: its tokenizer cannot be loaded (it has {words} of {known} words): download it again"
        )
    width, wanted = text_encoder.config.hidden_size, unet.config.cross_attention_dim
    if width != wanted or unet.config.addition_embed_type is not None or unet.config.class_embed_type is not None:
        raise UserError(
            f"model {model} is not a Stable Diffusion 1 or 2 (its text has width {width}, its UNet takes {wanted}): "
            "DIFT is defined on Stable Diffusion 2.1"
        )


def _version(model: str, unet: Any) -> str:
    """SD 2.1 for a UNet of its shape, else the model's own name."""
    is_2_1 = unet.config.cross_attention_dim == 1024 and unet.config.sample_size == 96
    return "SD 2.1" if is_2_1 else model_name(model)
