"""The settings of the training of a bridge as a LoRA; without torch, so that a command line can show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dragflow.core.checked import Checked
from dragflow.core.fields import AtLeastOne, Positive, Seed


@dataclass(frozen=True)
class LoraBridgeConfig(Checked, called="`{}`"):
    """How a bridge is trained as a LoRA."""

    rank: AtLeastOne = 32
    """Width of the two factors that are added to each weight."""
    steps: Annotated[int, Interval(ge=0, le=1_000_000)] = 2000
    """Steps of the training; after none the bridge gives exactly the preview."""
    rate: Positive = 3e-4
    """Highest rate of AdamW: it rises at the start, and falls to zero over the last 60 % of the steps."""
    batch: AtLeastOne = 4
    """Pairs of a step."""
    size: Annotated[int, Interval(ge=64, le=4096)] = 256
    """Side in pixels of what the model sees: a crop around the editable area."""
    held_out: AtLeastOne = 32
    """Pairs of scenes with other things, on which the gain is measured."""
    seed: Seed = 0
    """Seed of weights, pairs and noise."""
