"""The options of every provider, each defined once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from dragflow.core.checked import Checked
from dragflow.core.fields import Name
from dragflow.core.models import Dtype

CANDIDATES = 10
"""How many guesses a person chooses from (App. D.3)."""


Side = Annotated[int, Interval(ge=64, le=8192)]
"""Pixels of the longer side of a picture that is shown to a model."""
Guesses = Annotated[int, Interval(ge=1, le=20)]
"""How many candidates are asked for."""


@dataclass(frozen=True)
class ProviderOptions(Checked, called="`provider.{}`"):
    """Which provider guesses, and its settings; keys are not among them and come from the environment only."""

    name: Name | None = None
    """Who guesses: rules, file, openai, local. [default: $DRAGFLOW_INTENT, else rules]"""
    base_url: Name | None = None
    """Address of the service, for one that speaks the same protocol elsewhere. [default: the provider's own]"""
    model: Name | None = None
    """Model id, hub id or folder. [default: the provider's own choice]"""
    timeout: Annotated[float, Interval(gt=0, lt=3600)] | None = None
    """Seconds to wait for one answer. [default: the provider's own patience]"""
    retries: Annotated[int, Interval(ge=0, le=10)] = 2
    """How often a failed call is repeated; a bad answer is repaired once regardless."""
    max_image_side: Side = 1024
    """Pixels of the longer side of the pictures that are shown to the model."""
    device: Name | None = None
    """Device of a model on this machine, as torch names it."""
    dtype: Dtype | None = None
    """What a model on this machine computes in."""
    four_bit: bool = False
    """Load a model on this machine in 4 bits."""
    answers: Path | None = None
    """Answers of the provider `file`, as JSON."""
    extra: tuple[tuple[Name, str], ...] = ()
    """Pairs of name and value that a provider from elsewhere may understand."""
