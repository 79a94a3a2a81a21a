"""Recording the image tokens' keys and values in the inversion, and injecting them later (paper Sec. 3.4).

A recording is looked up by time, never by counting calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dragflow.method.backbone import Projection, Site
from dragflow.ops.geometry import CellMap


@dataclass(frozen=True, eq=False)
class TokenMap:
    """Which recorded token each token is given, and which tokens keep their own projections."""

    source: Int[Tensor, " n"]
    keeps_own: Bool[Tensor, " n"]

    @staticmethod
    def of(cells: CellMap) -> TokenMap:
        """Target tokens get those of their source, vacated tokens keep their own, all others the recorded ones."""
        return TokenMap(cells.index.flatten(), cells.vacated.flatten())


@dataclass(frozen=True, eq=False)
class Recorder:
    """Stores the projections of one time and changes nothing."""

    blocks: frozenset[str]
    into: dict[Site, Tensor]
    device: torch.device

    def __call__(self, site: Site, x: Projection) -> Projection:
        self.into[site] = x.detach().to(self.device, copy=True)
        return x


@dataclass(frozen=True, eq=False)
class Injector:
    """Replaces projections by the recorded ones of one time."""

    blocks: frozenset[str]
    recorded: dict[Site, Tensor]
    tokens: TokenMap | None

    def __call__(self, site: Site, x: Projection) -> Projection:
        recorded = self.recorded[site].to(x)
        if self.tokens is None:
            return recorded.expand_as(x)
        return torch.where(self.tokens.keeps_own[None, :, None], x, recorded[:, self.tokens.source])


@dataclass(frozen=True, eq=False)
class KVStore:
    """The recorded projections of one inversion, by time and site, in the model's dtype."""

    blocks: frozenset[str]
    device: torch.device
    times: dict[float, dict[Site, Tensor]] = field(default_factory=dict[float, dict[Site, Tensor]])

    def recorder(self, t: float) -> Recorder:
        """A control that records the call made at time t."""
        return Recorder(self.blocks, self.times.setdefault(t, {}), self.device)

    def injector(self, t: float, tokens: TokenMap | None = None) -> Injector:
        """A control that injects the recording of the time nearest to t; in place unless a token map is given."""
        nearest = min(self.times, key=lambda recorded: abs(recorded - t))
        return Injector(self.blocks, self.times[nearest], tokens)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(x.nbytes for sites in self.times.values() for x in sites.values())
