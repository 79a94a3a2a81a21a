"""A bridge for any family on diffusers: a LoRA and the last projection learn what the pixel preview lacks.

Objective and pictures are those of `dragflow.train.bridge`; autoencoder and transformer are the loaded model's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dragflow.backbones.base import DiffusersBackbone
from dragflow.backbones.devices import on_device
from dragflow.backbones.fingerprint import transformer_fingerprint
from dragflow.backbones.lora import without_loras
from dragflow.backbones.lora_bridge import correction, trainable_bridge, write_lora_bridge
from dragflow.backbones.registry import locate
from dragflow.core.errors import UserError
from dragflow.core.events import Observer, silent
from dragflow.core.models import IN_MEMORY, ModelOptions
from dragflow.files.models import settled_model
from dragflow.files.outputs import named_files
from dragflow.lora.files import check_output, drop_checkpoint, read_checkpoint
from dragflow.lora.loop import Checkpoint, Training, fit
from dragflow.method.backbone import Backbone
from dragflow.method.phases import phase
from dragflow.train import state
from dragflow.train.bridge import BridgeConfig, augmented, batch_of, changed_by, gains, objective
from dragflow.train.config import LoraBridgeConfig
from dragflow.train.drags import TARGETS, Pair
from dragflow.train.pairs import Pairs, Scenes

_CLIP = 1.0
"""Largest norm of a gradient."""


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    losses: tuple[float, ...]
    """Of every step, with those before a resumption."""
    gains: dict[str, float]
    """By how many dB pictures are nearer to the truth than previews, in the mean of the held-out pairs, by region."""


class Source(Protocol):
    """Pairs by their places."""

    def __len__(self) -> int: ...

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> Pair:
        """The pairs at these places, as one `Pair` of arrays (b, H, W, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class ModelCoder:
    """An `Autoencoder` that is a loaded model's own."""

    model: DiffusersBackbone

    @property
    def device(self) -> str:
        """See `Autoencoder`."""
        return str(self.model.device)

    def encode(self, pictures: Tensor) -> Tensor:
        """See `Autoencoder`."""
        return torch.cat([self.model.encode(picture[None] / 2 + 0.5) for picture in pictures])

    def decode(self, z: Tensor) -> Tensor:
        """See `Autoencoder`; no gradient, and within [-1, 1], as in an edit."""
        return torch.cat([self.model.decode(each[None]) for each in z]) * 2 - 1

    def decode_roughly(self, z: Tensor) -> Tensor:
        """See `Autoencoder`."""
        return self.model.decoded(z) * 2 - 1


def pairs_for(config: LoraBridgeConfig, folder: Path | None, scenes: int, multiple: int = 1) -> Source:
    """The pairs of a folder, else those of so many scenes.

    Args:
        config: the size of what the model sees; scenes are drawn larger, so that crops have every offset.
        folder: of pairs.
        scenes: of `TARGETS` pairs each.
        multiple: of the sides of pictures, in pixels.

    Raises:
        UserError: the size is no multiple, the folder has no pairs, or theirs are smaller.
    """
    if config.size % multiple:
        raise UserError(f"`size` is {config.size}: it must be a multiple of {multiple}, the pixels of one token")
    if folder is None:
        return Scenes(scenes, config.size + multiple)
    found = Pairs(folder)
    if found.manifest.size < config.size:
        raise UserError(
            f"the pictures of `pairs` {folder} have {found.manifest.size} pixels on each side, fewer than `size` "
            f"{config.size}: lower it, or make larger pairs"
        )
    return found


def check_trainable(options: ModelOptions) -> None:
    """Refuse a model that no bridge can be trained for, before it is loaded.

    Raises:
        UserError: it has LoRAs, a bridge that is named, or weights in a file of their own.
    """
    options = settled_model(options)
    if options.lora or options.bridge is not None:
        name = "lora" if options.lora else "bridge"
        raise UserError(f"a bridge is trained on the model alone, which is what it is used on: leave out `{name}`")
    if options.gguf is not None:
        raise UserError("a bridge needs the model's own weights: leave out the GGUF file, or use int8 or fp8 instead")
    if Path(options.name).is_file():
        raise UserError(f"a bridge needs the model's own weights in a folder, and {options.name} is a file: name that")


def train_bridge(
    backbone: Backbone,
    config: LoraBridgeConfig | None = None,
    *,
    to: Path,
    pairs: Path | None = None,
    scenes: int = 64,
    observer: Observer = silent,
    resume: bool = False,
    force: bool = False,
) -> Trained:
    """Train a bridge of a loaded model and write it; the model is as before, and edits in other threads wait.

    A training that is stopped (by `Cancelled`, Ctrl-C or an error) leaves its checkpoint next to the output. When it
    is resumed, it gives the same weights as one that was not stopped, if the folder of pairs has not grown.

    Args:
        backbone: on diffusers, without LoRAs.
        config: how; the defaults when None.
        to: a .safetensors file, which `bridge=` of `Editor.load` takes.
        pairs: a folder that `python -m dragflow.train pairs` made; scenes of the world when None.
        scenes: how many of these, four pairs each.
        observer: gets an event for every step; may raise `Cancelled`.
        resume: continue from the checkpoint.
        force: replace an existing output or checkpoint.

    Raises:
        UserError: settings, a folder, a name or a checkpoint that does not fit.
        CapabilityError: a model that is not on diffusers, has LoRAs on it, or ends in no projection.
        NumericalError: the loss is not finite.
    """
    config = LoraBridgeConfig() if config is None else config
    options = backbone.weights.options
    check_trainable(replace(options, bridge=None))  # one that comes with the model does no harm
    check_output(to, resume=resume, force=force, inputs=named_files(options, pairs))
    source = pairs_for(config, pairs, scenes, backbone.spec.pixel_multiple)
    with backbone.lock:
        base = without_loras(backbone)
        fingerprint = _fingerprint(base)
        facts = _facts(base, fingerprint, config, pairs, scenes)
        kept = Checkpoint(to, facts, read_checkpoint(to, facts) if resume else None)
        with _learning(base, config) as (model, weights):
            training = Training(
                weights, loss_of(model, config, source), config.steps, config.rate, clip=_CLIP, factor=_factor(config)
            )
            with phase("train", config.steps, observer) as meter:
                fit(training, meter, kept, finish=lambda: _finish(to, model, fingerprint, facts))
            return Trained(tuple(training.losses), _measured(model, config, observer))


@contextmanager
def _learning(
    base: DiffusersBackbone, config: LoraBridgeConfig
) -> Iterator[tuple[DiffusersBackbone, dict[str, nn.Parameter]]]:
    """The model of a bridge and its weights, and beside it the autoencoder, which each step needs."""
    vae, device = base.pipeline.vae, base.device
    with (
        trainable_bridge(base, rank=config.rank, seed=config.seed) as learning,
        on_device([vae], device, offload=vae.device != device),
    ):
        yield learning


def loss_of(model: DiffusersBackbone, config: LoraBridgeConfig, source: Source) -> Callable[[int], Tensor]:
    """The loss of a step."""
    coder, usual = ModelCoder(model), BridgeConfig()
    cells = config.size // model.spec.latent_stride
    settings = replace(usual, crop=min(usual.crop, cells))

    def loss(step: int) -> Tensor:
        rng, generator = state.generators(config.seed, step, coder.device)
        drawn = source.take(rng.integers(len(source), size=config.batch))
        batch = batch_of(augmented(drawn, rng, config.size, settings.mixed), coder)
        noise = torch.randn(batch.z.shape, generator=generator, device=model.device)
        v = correction(model, batch.z + settings.noise * noise)
        return objective(settings, batch, v, coder, rng)

    return loss


def _factor(config: LoraBridgeConfig) -> Callable[[int], float]:
    """What the rate is multiplied by at a step."""
    usual = BridgeConfig()
    warmup = max(1, min(usual.warmup, config.steps // 10))
    return lambda step: state.rate(step, config.steps, warmup, usual.cooldown)


def _measured(model: DiffusersBackbone, config: LoraBridgeConfig, observer: Observer) -> dict[str, float]:
    """Mean gains on pairs of scenes with things that no training sees."""
    coder, found = ModelCoder(model), dict[str, list[float]]()
    unseen = Scenes(-(-config.held_out // TARGETS), config.size, "test")
    with torch.no_grad(), phase("bridge", config.held_out, observer) as meter:
        for place in range(config.held_out):
            batch = batch_of(unseen.take([place]), coder)
            v = correction(model, batch.z)
            for name, values in gains(batch, changed_by(v, coder, batch)).items():
                found.setdefault(name, []).extend(values)
            meter.step()
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _finish(to: Path, model: DiffusersBackbone, fingerprint: str, facts: Mapping[str, str]) -> None:
    told = {f"dragflow.{name}": value for name, value in facts.items() if name != "pairs"}
    write_lora_bridge(to, model, fingerprint, told | {"dragflow.version": version("dragflow")})
    drop_checkpoint(to)


def _facts(
    base: DiffusersBackbone, fingerprint: str, config: LoraBridgeConfig, pairs: Path | None, scenes: int
) -> dict[str, str]:
    """Everything that determines the weights, by the names that people know."""
    options = base.weights.options
    made: dict[str, object] = {"model": fingerprint, "dtype": options.dtype, "quantize": options.quantize}
    made |= {"scenes": scenes} if pairs is None else {"pairs": str(pairs.resolve())}
    return {name: json.dumps(value) for name, value in (made | asdict(config)).items()}


def _fingerprint(base: DiffusersBackbone) -> str:
    """Of the transformer, by its files where it came from such."""
    weights = base.weights
    return transformer_fingerprint(
        base.transformer if weights.fingerprint.startswith(IN_MEMORY) else locate(weights.options)[0]
    )
