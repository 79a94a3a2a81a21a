"""The record of an edit: the recipe that reproduces it, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from dragflow.core.config import EditConfig
from dragflow.core.models import SubjectId, WeightsId
from dragflow.core.task import Instruction


@dataclass(frozen=True)
class Recipe:
    """What determines the bytes of a result; it is stored in the picture's own metadata."""

    instruction: Instruction
    """With every mask as pixels."""
    config: EditConfig
    config_hash: str
    weights: WeightsId
    source_sha256: str
    """Digest of the source's upright pixels."""
    versions: dict[str, str]
    """Of dragflow and of the libraries that compute."""
    subject: SubjectId | None = None
    """None if no subject adapter was loaded."""
    parent: str | None = None
    """Digest of the recipe of the result that was continued from; None if the source was no result."""


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of one phase and the model calls it made."""

    phase: str
    seconds: float
    calls: int
    shared: bool = False
    """Whether the work was done once for all edits of the session."""


@dataclass(frozen=True)
class IntentRecord:
    """Who was asked what the edit means, and what asking cost; the answer itself is in the instruction."""

    provider: str
    """Name of the provider, as in "rules" or "openai"."""
    model: str | None
    """Which model answered; None if no model was asked."""
    seconds: float
    """Wall-clock seconds until the answer."""
    attempts: int
    """Answers that were asked for, repairs included."""
    prompt_tokens: int | None = None
    """Over all attempts; None if the provider does not report it."""
    completion_tokens: int | None = None
    cached: bool = False
    """Whether the answer comes from the cache; the costs are then those of the earlier call."""


@dataclass(frozen=True)
class Provenance:
    """The recipe, and what this run of it cost; no two runs cost the same, so costs stay out of the picture's bytes."""

    recipe: Recipe
    timings: tuple[Timing, ...]
    peak_memory_mib: float | None
    """Peak accelerator memory; without an accelerator, peak resident memory of the process."""
    intent: IntentRecord | None = None
    """None if nobody was asked what the edit means."""
