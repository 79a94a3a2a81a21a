"""Features that mean distances match: the protocol, and loading them by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError

Features = Float[Tensor, "c h w"]

KINDS = ("dift", "dinov2", "taps")
MAX_PIXELS = 1024 * 1024
"""A larger picture is scaled down to this area for the model."""


class FeatureExtractor(Protocol):
    """Features of a picture on a grid that covers it."""

    @property
    def name(self) -> str:
        """As it stands in tables, as in "DIFT (SD 2.1)"."""
        ...

    @property
    def prompted(self) -> bool:
        """Whether the prompt makes a difference."""
        ...

    def __call__(self, image: Pixels, prompt: str) -> Features:
        """Features of (H, W, 3); the same picture and prompt give the same again."""
        ...


def load_features(kind: str, model: str | None = None, device: str | None = None) -> FeatureExtractor:
    """Load an extractor.

    Args:
        kind: `dift`, `dinov2`, or `taps`, the features that dragflow's own models are dragged by.
        model: hub id or folder. Default: $DRAGFLOW_DIFT, $DRAGFLOW_DINOV2, the built-in `nano`.
        device: as torch names it; a GPU if there is one when None.

    Raises:
        UserError: unknown kind, no model, or one that cannot be loaded.
    """
    if kind == "dift":
        from dragflow.bench.metrics.dift import load_dift

        return load_dift(model, device)
    if kind == "dinov2":
        from dragflow.bench.metrics.dinov2 import load_dinov2

        return load_dinov2(model, device)
    if kind == "taps":
        from dragflow.bench.metrics.taps import load_taps

        return load_taps(model, device)
    raise UserError(f"features {kind!r} are not known: choose one of {', '.join(KINDS)}")


def over_noise(z: Tensor, draws: int, seed: int, features: Callable[[Tensor], Features]) -> Features:
    """Mean features over draws of noise of the shape of `z`, which are the same for every picture of its size.

    One draw at a time: the activations of all would not fit beside a large model.
    """
    generator = torch.Generator().manual_seed(seed)
    total = features(torch.randn(z.shape, generator=generator).to(z))
    for _ in range(draws - 1):
        total = total + features(torch.randn(z.shape, generator=generator).to(z))
    return total / draws
