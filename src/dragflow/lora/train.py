"""Training a LoRA of one picture on its model: rectified flow on the picture's latent, as the model itself was trained.

z_t = (1 - t) z_0 + t eps, the model predicts v = eps - z_0. Times are uniform, because inversion adds up the velocity's
error over all times equally. The picture is never mirrored or cropped: what is learnt is this picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dragflow.backbones.base import DiffusersBackbone
from dragflow.backbones.lora import lora_layout, trainable_lora, without_loras
from dragflow.core.events import Observer, silent
from dragflow.editor import frames
from dragflow.files.outputs import named_files
from dragflow.files.pictures import SourceImage
from dragflow.lora.config import LoraConfig
from dragflow.lora.files import Origin, check_output, read_checkpoint, write_lora
from dragflow.lora.loop import Checkpoint, Training, fit
from dragflow.method.backbone import Backbone, Conditioning, Latent
from dragflow.method.phases import phase


def train_lora(
    backbone: Backbone,
    picture: SourceImage,
    prompt: str = "",
    config: LoraConfig | None = None,
    *,
    to: Path,
    observer: Observer = silent,
    resume: bool = False,
    force: bool = False,
) -> tuple[float, ...]:
    """Train a LoRA of one picture and write it; the model is as before afterwards, and edits in other threads wait.

    A training that is stopped (by `Cancelled`, Ctrl-C or an error) leaves its checkpoint next to the output. When it
    is resumed, it gives the same weights as one that was not stopped.

    Args:
        backbone: a loaded FLUX.1 without LoRAs.
        picture: what to learn.
        prompt: what it shows; use the same for the edits.
        config: how; the defaults when None.
        to: a .safetensors file, which `lora=` of `Editor.load`, and diffusers, take.
        observer: gets an event for every step; may raise `Cancelled`.
        resume: continue from the checkpoint.
        force: replace an existing output or checkpoint.

    Returns:
        The loss of every step, with those before a resumption.

    Raises:
        UserError: settings, a name or a checkpoint that does not fit.
        CapabilityError: a model of another family, or one that has LoRAs on it.
        NumericalError: the loss is not finite.
    """
    config = LoraConfig() if config is None else config
    inputs = named_files(picture.path, backbone.weights.options)
    check_output(to, resume=resume, force=force, inputs=inputs)
    with backbone.lock:
        model = without_loras(backbone)
        origin = Origin(model.weights, picture.sha256, prompt, config)
        begun = read_checkpoint(to, origin.facts()) if resume else None
        z, texts = _encoded(model, picture, prompt, config.max_pixels, observer)
        with (
            trainable_lora(
                model, rank=config.rank, alpha=config.scaling, modules=config.modules, seed=config.seed
            ) as weights,
            phase("train", config.steps, observer) as meter,
        ):
            training = Training(
                weights,
                lambda step: flow_loss(model, z, texts, config, step=step),
                steps=config.steps,
                rate=config.rate,
                clip=config.clip,
            )
            kept = Checkpoint(to, origin.facts(), begun)
            fit(training, meter, kept, finish=lambda: write_lora(to, origin, *lora_layout(model)))
        return tuple(training.losses)


def _encoded(
    model: DiffusersBackbone, picture: SourceImage, prompt: str, max_pixels: int, observer: Observer
) -> tuple[Latent, list[Conditioning]]:
    """The latent of a picture, and its prompt and the empty one for the model."""
    with phase("encode", 1, observer) as meter:
        z = model.encode(frames.as_seen(picture.pixels, model.spec, max_pixels))
        texts = [model.condition(text, guidance=1.0) for text in (prompt, "")]
        meter.step()
    return z, texts


def flow_loss(
    model: DiffusersBackbone, z: Latent, texts: list[Conditioning], config: LoraConfig, *, step: int
) -> Tensor:
    """The loss of one step; its times and noises are a function of seed and step alone, so that resuming repeats them.

    Args:
        model: with the LoRA on it.
        z: latent of the picture (1, c, h, w).
        texts: the prompt, and the empty one.
        config: batch, seed, and the share of the empty prompt.
        step: 0 for the first.
    """
    rng = np.random.default_rng([config.seed, step])
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    # One time in each of the batch's equal parts of [0, 1].
    t = (torch.arange(config.batch) + torch.rand(config.batch, generator=generator)) / config.batch
    noise = torch.randn(config.batch, *z.shape[1:], generator=generator).to(z)
    share = t.to(z)[:, None, None, None]
    v = model.flow((1 - share) * z + share * noise, t, texts[int(rng.random() < config.empty)])
    return F.mse_loss(v, noise - z)
