"""What an edit gives back: the picture, and the record that lets it be made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dragflow.core.config import EditConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelIdentity:
    """Which weights made a result."""

    id: str
    """Hub id or folder as the user named it."""
    revision: str | None
    """Commit of the hub snapshot; None for a folder."""
    fingerprint: str
    """Digest over configuration and samples of the weights: tells a changed folder."""
    dtype: str
    quantize: str | None = None
    lora: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentityOptions:
    """Which adapter keeps a subject's identity, and where its parts lie."""

    adapter: str
    """Name of the adapter: "instantcharacter", "ip-adapter", or "nano" for the embedded model."""
    weights: str | None = None
    """Its checkpoint, a .safetensors or .bin file; None takes the one that comes with dragflow, which "nano" has."""
    siglip: str = "google/siglip-so400m-patch14-384"
    """SigLIP of instantcharacter and of InstantX's ip-adapter: in transformers layout, a folder or a hub id."""
    dinov2: str = "facebook/dinov2-giant"
    """DINOv2 of instantcharacter: in transformers layout, a folder or a hub id."""
    clip: str = "openai/clip-vit-large-patch14"
    """CLIP of XLabs' ip-adapter: in transformers layout, a folder or a hub id."""


@dataclass(frozen=True)
class IdentityRecord:
    """Which identity adapter worked on a result."""

    options: IdentityOptions
    fingerprint: str
    """Digest over samples of its weights and its encoders'."""


@dataclass(frozen=True)
class Recipe:
    """What determines the bytes of a result; it travels in the picture's own metadata."""

    instruction: str
    """The instruction in the JSON of `dragflow.io.instruction`, masks embedded."""
    config: EditConfig
    config_hash: str
    model: ModelIdentity
    source_sha256: str
    """Digest of the source's upright pixels."""
    versions: dict[str, str]
    """Of dragflow and of the libraries that compute."""
    identity: IdentityRecord | None = None
    """None where no adapter was loaded."""


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
    """Who said what the edit was meant to be, and what asking cost; what was said stands in the instruction."""

    provider: str
    """Name of the provider, as in "rules" or "openai"."""
    model: str | None
    """Which model answered; None where there is none."""
    seconds: float
    """Wall-clock seconds until the answer was there."""
    attempts: int
    """Answers that were asked for, repairs counted."""
    prompt_tokens: int | None = None
    """Over all attempts; None where the provider does not tell."""
    completion_tokens: int | None = None
    cached: bool = False
    """Whether the answer was kept from an earlier call, and the costs are those of then."""


@dataclass(frozen=True)
class Provenance:
    """The recipe, and what this run of it cost; no two runs cost the same, so costs stay out of the picture's bytes."""

    recipe: Recipe
    timings: tuple[Timing, ...]
    peak_memory_mib: float | None
    """Peak accelerator memory, or peak resident memory of the process where there is no accelerator."""
    intent: IntentRecord | None = None
    """None where nobody was asked what the edit was meant to be."""


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edited picture."""

    image: NDArray[np.uint8]
    """(H, W, 3), upright RGB of the source's size; outside the editable area equal to the source bit for bit."""
    area: NDArray[np.bool_]
    """(H, W), the editable area that was used."""
    losses: tuple[float, ...]
    """Supervision loss of every iteration."""
    provenance: Provenance
