"""The settings of a LoRA's training (LoRA: arXiv 2106.09685; of one picture, to drag it: DragDiffusion, 2306.14435)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from dragflow.core.checked import Checked
from dragflow.core.fields import Area, AtLeastOne, Name, Positive, Seed, Share


@dataclass(frozen=True)
class LoraConfig(Checked, called="`{}`"):
    """How a LoRA of one picture is trained. Rank, steps, rate and batch are DragDiffusion's."""

    rank: AtLeastOne = 16
    """Width of the two factors that are added to each weight."""
    alpha: Positive | None = None
    """The product of the factors is scaled by alpha / rank; alpha = rank if None."""
    steps: AtLeastOne = 80
    """Steps of the training."""
    rate: Positive = 5e-4
    """Rate of AdamW, the same at every step."""
    batch: AtLeastOne = 4
    """Times and noises of one step; all of them of the one picture."""
    empty: Share = 0.1
    """Share of the steps with the empty prompt, so that the picture is kept under any other, too."""
    clip: Positive = 1.0
    """Largest norm of a gradient."""
    modules: Annotated[tuple[Name, ...], MinLen(1)] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the layers that get factors: by default the attentions' projections of image tokens."""
    max_pixels: Area = 1024 * 1024
    """A larger picture is scaled down to this, as for an edit: train at the size at which you edit."""
    seed: Seed = 0
    """Seed of weights, times and noise."""

    @property
    def scaling(self) -> float:
        """Alpha, with its default applied."""
        return float(self.rank if self.alpha is None else self.alpha)
