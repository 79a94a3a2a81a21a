"""The one loop that drags the latent at t_s (method Sec. 6, paper Eq. 4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Bool
from torch import Tensor

from dragflow.core.config import OptimiseConfig
from dragflow.core.errors import NumericalError
from dragflow.core.events import Observer
from dragflow.method.backbone import Features, Latent
from dragflow.method.phases import Preview, phase


class Supervision(Protocol):
    """Measures how far features are from where the drag should have brought them."""

    def loss(self, features: Features, progress: float) -> Tensor:
        """A scalar, differentiable in `features`, for motion progress in [0, 1]."""
        ...


def optimise(
    z: Latent,
    background: Latent,
    area: Bool[Tensor, "h w"],
    features: Callable[[Latent], Features],
    supervision: Supervision,
    config: OptimiseConfig,
    *,
    preview: Callable[[Latent], Preview],
    observer: Observer,
) -> tuple[Latent, tuple[float, ...]]:
    """K moving and R refining iterations; each ends with z <- B z + (1 - B) z_bg.

    Args:
        z: start (1, c, h, w), float32.
        background: z_bg at the same time.
        area: B at latent resolution.
        features: F(z), one truncated model call.
        supervision: the loss.
        config: iterations, step rule, rates.
        preview: from a latent to the lazy picture of it.
        observer: gets an event for every iteration.

    Returns:
        The dragged latent, and the loss of every iteration.

    Raises:
        NumericalError: a loss or a gradient is not finite; the text names the iteration.
    """
    total = config.moving + config.refining
    losses: list[float] = []
    if total == 0:
        return z, ()
    z = torch.where(area, z, background).detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([z], lr=config.moving_rate) if config.rule == "adam" else None
    with phase("drag", total, observer) as meter:
        for k in range(1, total + 1):
            progress = min(k / config.moving, 1.0) if config.moving else 1.0
            rate = config.moving_rate if k <= config.moving else config.refining_rate
            loss = supervision.loss(features(z), progress)
            (gradient,) = torch.autograd.grad(loss, z)
            losses.append(_finite(float(loss.detach()), "loss", k, total))
            _finite(float(gradient.abs().max()), "gradient", k, total)
            with torch.no_grad():
                _step(z, gradient * area, rate, adam)
                z.copy_(torch.where(area, z, background))
            meter.step(losses[-1], progress, preview(z.detach()))
    return z.detach(), tuple(losses)


def _step(z: Latent, gradient: Latent, rate: float, adam: torch.optim.Adam | None) -> None:
    if adam is None:
        z.sub_(rate * gradient)
        return
    z.grad = gradient
    for group in adam.param_groups:
        group["lr"] = rate
    adam.step()  # pyright: ignore[reportUnknownMemberType]


def _finite(value: float, what: str, k: int, total: int) -> float:
    if not math.isfinite(value):
        raise NumericalError(
            f"the {what} is not finite at iteration {k} of {total}: use a wider dtype (bfloat16 or float32), another "
            "quantisation, or a smaller optimise.moving_rate and optimise.refining_rate"
        )
    return value
