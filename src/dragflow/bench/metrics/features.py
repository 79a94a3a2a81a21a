"""Features that mean distances match: the protocol, and what extractors share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.hub import folder_of
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError

Features = Float[Tensor, "c h w"]

MAX_PIXELS = 1024 * 1024
"""A larger picture is scaled down to this area for the model."""


class FeatureExtractor(Protocol):
    """Features of a picture on a grid that covers it."""

    @property
    def name(self) -> str:
        """The name in tables, as in "DIFT (SD 2.1)"."""
        ...

    @property
    def prompted(self) -> bool:
        """Whether the prompt makes a difference."""
        ...

    def __call__(self, image: Pixels, prompt: str) -> Features:
        """Features of a picture (H, W, 3); the same picture and prompt always give the same."""
        ...


def over_noise(z: Tensor, draws: int, seed: int, features: Callable[[Tensor], Features]) -> Features:
    """Mean features over draws of noise of the shape of `z`, which are the same for every picture of its size.

    One draw at a time: the activations of all would not fit into memory next to a large model.
    """
    generator = torch.Generator().manual_seed(seed)
    total = features(torch.randn(z.shape, generator=generator).to(z))
    for _ in range(draws - 1):
        total = total + features(torch.randn(z.shape, generator=generator).to(z))
    return total / draws


def pick_model(given: str | None, variable: str, features: str, layout: str) -> str:
    """Hub id or folder of the model behind some features: the given one, or the environment's.

    Raises:
        UserError: neither is given, or it is neither a folder nor a hub id.
    """
    model = given or os.environ.get(variable)
    if not model:
        raise UserError(f"features {features} need a model: name {layout} as `model`, or in ${variable}")
    folder_of(model, f"model of features {features}")
    return model


def model_name(model: str) -> str:
    """A model's name without its owner or the folders above it, for tables."""
    return Path(model).resolve().name
