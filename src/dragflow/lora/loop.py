"""The loop of a LoRA's training: steps of AdamW that can be stopped, and resumed to the same weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from dragflow.core.errors import NumericalError
from dragflow.lora.files import drop_checkpoint, write_checkpoint
from dragflow.method.phases import Meter

_SAVE_EVERY = 60.0
"""Seconds between checkpoints; another one is written when the training is stopped."""


@dataclass
class Training:
    """An unfinished training."""

    weights: Mapping[str, nn.Parameter]
    loss: Callable[[int], Tensor]
    """Of a step, 0 for the first; a function of its number and the weights alone, so that resuming repeats it."""
    steps: int
    rate: float
    clip: float
    """Largest norm of a gradient."""
    factor: Callable[[int], float] = lambda _: 1.0
    """Of a step: what the rate is multiplied by."""
    losses: list[float] = field(default_factory=list[float])
    """One for each step that is done."""
    whole: bool = True
    """False while a step changes the weights."""
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=self.rate)


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished training is kept."""

    to: Path
    """The finished file; the checkpoint is next to it."""
    facts: Mapping[str, str]
    """What determines the weights, by the names that people know."""
    begun: Mapping[str, Tensor] | None
    """What an earlier call left, to be resumed; None starts over."""


def fit(training: Training, meter: Meter, kept: Checkpoint, finish: Callable[[], None]) -> None:
    """All remaining steps, then `finish`; if anything ends them early, the checkpoint holds those that are done.

    Only steps that lead to numbers that are not finite are of no use: resuming would repeat them.

    Raises:
        NumericalError: the loss is not finite.
    """
    if kept.begun is None:
        drop_checkpoint(kept.to)
    else:
        _restore(kept.begun, training)
    meter.index = len(training.losses)
    saved = time.monotonic()
    try:
        while len(training.losses) < training.steps:
            _step(training)
            meter.step(training.losses[-1])
            if time.monotonic() - saved > _SAVE_EVERY:
                write_checkpoint(kept.to, kept.facts, _state(training))
                saved = time.monotonic()
        finish()
    except NumericalError:
        drop_checkpoint(kept.to)
        raise
    except BaseException:
        if training.whole and training.losses:
            write_checkpoint(kept.to, kept.facts, _state(training))
        raise


def _step(training: Training) -> None:
    """One step of AdamW."""
    step = len(training.losses)
    loss = training.loss(step)
    value = loss.item()
    if not math.isfinite(value):
        raise NumericalError(
            f"the loss is not finite at step {step + 1} of {training.steps}: use a lower rate, or a wider dtype "
            "(bfloat16 or float32)"
        )
    loss.backward()
    nn.utils.clip_grad_norm_(training.weights.values(), training.clip)
    for group in training.optimizer.param_groups:
        group["lr"] = training.rate * training.factor(step)
    training.whole = False
    training.optimizer.step()
    training.losses.append(value)
    training.whole = True
    training.optimizer.zero_grad()


def _state(training: Training) -> dict[str, Tensor]:
    """Everything that a resumed training needs."""
    tensors = {f"weight.{name}": weight.data for name, weight in training.weights.items()}
    states = training.optimizer.state_dict()["state"].values()
    for name, state in zip(training.weights, states, strict=True):
        tensors |= {f"{key}.{name}": value for key, value in state.items()}
    tensors["losses"] = torch.tensor(training.losses, dtype=torch.float64)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(tensors: Mapping[str, Tensor], training: Training) -> None:
    """Restore what `_state` collected."""
    for name, weight in training.weights.items():
        weight.copy_(tensors[f"weight.{name}"])
    keys = ("step", "exp_avg", "exp_avg_sq")
    state = {i: {key: tensors[f"{key}.{name}"] for key in keys} for i, name in enumerate(training.weights)}
    groups = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": state, "param_groups": groups})
    training.losses += tensors["losses"].tolist()
