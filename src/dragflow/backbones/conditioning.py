"""What a model is told besides a latent and a time, and what it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import BackboneSpec, Fill, Reference, Subject


@dataclass(frozen=True, eq=False)
class Text:
    """A prompt as the transformer takes it."""

    tokens: Float[Tensor, "1 m e"]


@dataclass(frozen=True, eq=False)
class PooledText(Text):
    """The same, with the vector in which a text encoder sums it up."""

    pooled: Float[Tensor, "1 p"]


@dataclass(frozen=True, eq=False)
class Told:
    """A prompt as the transformer takes it, the pictures to look at, and what is to be kept."""

    text: Any
    references: tuple[Reference, ...] = ()
    guidance: float | None = None
    """Of models that it is embedded in."""
    subject: Subject | None = None
    fill: Any = None
    """What is kept of a picture, as models that fill take it; None: nothing."""


def check_told(spec: BackboneSpec, subject: Subject | None, references: Sequence[Reference], fill: Fill | None) -> None:
    """Check that a model can be told all this; see `Backbone.condition`.

    Raises:
        CapabilityError: it takes no subject, or fewer references, or does not fill.
    """
    if subject is not None and spec.subject_heads is None:
        raise CapabilityError(
            f"a subject is given, but models of family {spec.family} take none: leave it out, or use FLUX.1 or "
            "Stable Diffusion 3.5"
        )
    if len(references) > spec.references:
        raise CapabilityError(
            f"{len(references)} references are given, but models of family {spec.family} take "
            f"{spec.references or 'none'}: leave some out, or use an edit model"
        )
    if fill is not None and not spec.fills:
        raise CapabilityError(
            f"a fill is given, but models of family {spec.family} take none: leave it out, or use FLUX.1 Fill"
        )
