"""The settings of a LoRA's training (LoRA: arXiv 2106.09685; of one picture, to drag it: DragDiffusion, 2306.14435)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dragflow.core.errors import UserError


@dataclass(frozen=True)
class LoraConfig:
    """How a LoRA of one picture is trained. Rank, steps, rate and batch are DragDiffusion's."""

    rank: int = 16
    """Width of the two factors that are added to each weight."""
    alpha: float | None = None
    """The factors' product counts alpha / rank times; None: alpha = rank."""
    steps: int = 80
    """Steps of the training."""
    rate: float = 5e-4
    """Rate of AdamW, the same at every step."""
    batch: int = 4
    """Times and noises of one step; all of them of the one picture."""
    empty: float = 0.1
    """Share of the steps with the empty prompt, so that the picture is kept under any other, too."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the layers that get factors: the attentions' projections of image tokens."""
    max_pixels: int = 1024 * 1024
    """A larger picture is scaled down to this, as for an edit: train at the size at which you edit."""
    seed: int = 0
    """Seed of weights, times and noise."""

    @property
    def scaling(self) -> float:
        """Alpha as it is used."""
        return float(self.rank if self.alpha is None else self.alpha)


def check_config(config: LoraConfig) -> None:
    """Refuse settings that break a rule.

    Raises:
        UserError: they do.
    """
    rules = {
        f"rank is {config.rank}: it must be 1 or more": config.rank >= 1,
        f"alpha is {config.alpha}: it must be a positive number": 0 < config.scaling < math.inf,
        f"steps is {config.steps}: it must be 1 or more": config.steps >= 1,
        f"rate is {config.rate}: it must be a positive number": 0 < config.rate < math.inf,
        f"batch is {config.batch}: it must be 1 or more": config.batch >= 1,
        f"empty is {config.empty}: it must be between 0 and 1": 0 <= config.empty <= 1,
        f"clip is {config.clip}: it must be positive": config.clip > 0,
        "modules is empty: name at least one layer": bool(config.modules),
        f"max_pixels is {config.max_pixels}: it must be 4096 or more": config.max_pixels >= 4096,
        f"seed is {config.seed}: it must be between 0 and 2**63 - 1": 0 <= config.seed < 2**63,
    }
    broken = [sentence for sentence, holds in rules.items() if not holds]
    if broken:
        raise UserError("; ".join(broken))
