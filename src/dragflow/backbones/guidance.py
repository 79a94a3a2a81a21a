"""Classifier-free guidance: a model that is asked twice, and led from one answer past the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragflow.method.backbone import Latent


@dataclass(frozen=True, eq=False)
class Guided:
    """What a model is told, what it is led away from, and how far."""

    own: Any
    """Conditioning of the prompt itself; features, which nothing is led by, are under this one alone."""
    negative: Any
    """Conditioning of the negative prompt."""
    scale: float
    """1: not led at all."""

    def velocity(self, ask: Callable[[Any, bool], Latent], lead: Callable[[Latent, Latent, float], Latent]) -> Latent:
        """The velocity of both calls.

        The prompt's own comes last: what a control of keys and values has recorded then is of the prompt, and that is
        what it injects into both.

        Args:
            ask: the model's answer under a conditioning, told whether that is the negative prompt's.
            lead: the family's rule, given the answers to the prompt and to the negative one, and the scale.
        """
        away = ask(self.negative, True)
        return lead(ask(self.own, False), away, self.scale)


def own(cond: Any) -> Any:
    """The conditioning of the prompt itself."""
    return cond.own if isinstance(cond, Guided) else cond


def beyond(v: Latent, away: Latent, scale: float) -> Latent:
    """The usual rule: the negative answer, plus `scale` times what the prompt changes of it."""
    return away + scale * (v - away)
