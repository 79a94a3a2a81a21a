"""Training a LoRA of one picture on its model: rectified flow on the picture's latent, as the model itself was trained.

z_t = (1 - t) z_0 + t eps, the model predicts v = eps - z_0. Times are uniform, because inversion adds up the velocity's
error over all times equally. The picture is never mirrored or cropped: what is learnt is this picture.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragflow.backbones.base import DiffusersBackbone
from dragflow.backbones.lora import lora_layout, trainable_lora, without_loras
from dragflow.core.errors import NumericalError
from dragflow.core.events import Observer, silent
from dragflow.editor import frames
from dragflow.files.outputs import named_files
from dragflow.files.pictures import SourceImage
from dragflow.lora.config import LoraConfig
from dragflow.lora.files import Origin, check_output, drop_checkpoint, read_checkpoint, write_checkpoint, write_lora
from dragflow.method.backbone import Backbone, Conditioning, Latent
from dragflow.method.phases import Meter, phase

_SAVE_EVERY = 60.0
"""Seconds between checkpoints; another one is written when the training is stopped."""


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
        begun = read_checkpoint(to, origin) if resume else None
        z, texts = _encoded(model, picture, prompt, config.max_pixels, observer)
        with (
            trainable_lora(
                model, rank=config.rank, alpha=config.scaling, modules=config.modules, seed=config.seed
            ) as weights,
            phase("train", config.steps, observer) as meter,
        ):
            training = _Training(model, z, texts, config, weights, torch.optim.AdamW(weights.values(), lr=config.rate))
            if begun is None:
                drop_checkpoint(to)
            else:
                _restore(begun, training)
            _fit(training, meter, to, origin)
        return tuple(training.losses)


def _encoded(
    model: DiffusersBackbone, picture: SourceImage, prompt: str, max_pixels: int, observer: Observer
) -> tuple[Latent, list[Conditioning]]:
    """The latent of a picture, and its prompt and the empty one for the model."""
    with phase("encode", 1, observer) as meter:
        size = frames.model_size(model.spec, picture.size, max_pixels)
        z = model.encode(frames.as_image(picture.pixels, size))
        texts = [model.condition(text, guidance=1.0) for text in (prompt, "")]
        meter.step()
    return z, texts


@dataclass
class _Training:
    """An unfinished LoRA."""

    model: DiffusersBackbone
    z: Latent
    """Of the picture, (1, c, h, w)."""
    texts: list[Conditioning]
    """The prompt, and the empty one."""
    config: LoraConfig
    weights: dict[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    losses: list[float] = field(default_factory=list[float])
    """One for each step that is done."""
    whole: bool = True
    """False while a step changes the weights."""


def _fit(training: _Training, meter: Meter, to: Path, origin: Origin) -> None:
    """Take all remaining steps and write the LoRA; if anything ends them early, a checkpoint of those that are done.

    Only steps that lead to numbers that are not finite are of no use: resuming would repeat them.
    """
    meter.index = len(training.losses)
    saved = time.monotonic()
    try:
        while len(training.losses) < training.config.steps:
            _step(training)
            meter.step(training.losses[-1])
            if time.monotonic() - saved > _SAVE_EVERY:
                write_checkpoint(to, origin, _state(training))
                saved = time.monotonic()
        write_lora(to, origin, *lora_layout(training.model))
    except NumericalError:
        drop_checkpoint(to)
        raise
    except BaseException:
        if training.whole and training.losses:
            write_checkpoint(to, origin, _state(training))
        raise


def _step(training: _Training) -> None:
    """One step of AdamW."""
    config, step = training.config, len(training.losses)
    loss = flow_loss(training.model, training.z, training.texts, config, step=step)
    value = loss.item()
    if not math.isfinite(value):
        raise NumericalError(
            f"the loss is not finite at step {step + 1} of {config.steps}: use a lower rate, or a wider dtype "
            "(bfloat16 or float32)"
        )
    loss.backward()
    nn.utils.clip_grad_norm_(training.weights.values(), config.clip)
    training.whole = False
    training.optimizer.step()
    training.losses.append(value)
    training.whole = True
    training.optimizer.zero_grad()


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


def _state(training: _Training) -> dict[str, Tensor]:
    """Everything that a resumed training needs."""
    tensors = {f"weight.{name}": weight.data for name, weight in training.weights.items()}
    states = training.optimizer.state_dict()["state"].values()
    for name, state in zip(training.weights, states, strict=True):
        tensors |= {f"{key}.{name}": value for key, value in state.items()}
    tensors["losses"] = torch.tensor(training.losses, dtype=torch.float64)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(tensors: dict[str, Tensor], training: _Training) -> None:
    """Restore what `_state` collected."""
    for name, weight in training.weights.items():
        weight.copy_(tensors[f"weight.{name}"])
    keys = ("step", "exp_avg", "exp_avg_sq")
    state = {i: {key: tensors[f"{key}.{name}"] for key in keys} for i, name in enumerate(training.weights)}
    groups = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": state, "param_groups": groups})
    training.losses += tensors["losses"].tolist()
