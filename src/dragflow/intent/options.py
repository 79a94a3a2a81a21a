"""The options of every provider, each defined once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragflow.core.errors import UserError
from dragflow.core.models import Dtype

CANDIDATES = 10
"""How many guesses a person chooses from (App. D.3)."""


@dataclass(frozen=True)
class ProviderOptions:
    """Which provider guesses, and its settings; keys are not among them and come from the environment only."""

    name: str | None = None
    """Who guesses: rules, file, openai, local. [default: $DRAGFLOW_INTENT, else rules]"""
    base_url: str | None = None
    """Address of the service, for one that speaks the same protocol elsewhere. [default: the provider's own]"""
    model: str | None = None
    """Model id, hub id or folder. [default: the provider's own choice]"""
    timeout: float | None = None
    """Seconds to wait for one answer. [default: the provider's own patience]"""
    retries: int = 2
    """How often a failed call is repeated; a bad answer is repaired once regardless."""
    max_image_side: int = 1024
    """Pixels of the longer side of the pictures that are shown to the model."""
    device: str | None = None
    """Device of a model on this machine, as torch names it."""
    dtype: Dtype | None = None
    """What a model on this machine computes in."""
    four_bit: bool = False
    """Load a model on this machine in 4 bits."""
    answers: Path | None = None
    """Answers of the provider `file`, as JSON."""
    extra: tuple[tuple[str, str], ...] = ()
    """Pairs of name and value that a provider from elsewhere may understand."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UserError: a number out of range.
        """
        if self.timeout is not None and not 0 < self.timeout < 3600:
            raise UserError(f"`provider.timeout` is {self.timeout:g}: wait more than 0 and less than 3600 seconds")
        if not 0 <= self.retries <= 10:
            raise UserError(f"`provider.retries` is {self.retries}: try again 0 to 10 times")
