"""Inverted pictures that are kept: those of one session, or of all sessions of an editor, bounded by their bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from dragflow.core.config import InversionConfig, ReferenceKind, SizeConfig
from dragflow.core.models import WeightsId
from dragflow.core.result import Timing
from dragflow.editor.subject import SubjectKey
from dragflow.method.backbone import Backbone
from dragflow.method.inversion import Inversion


@dataclass(frozen=True)
class InversionKey:
    """All that an inversion depends on; iterations, rates and targets are not in it."""

    picture: str
    """Digest of the upright pixels."""
    size: SizeConfig
    """With the window settled."""
    prompt: str
    inversion: InversionConfig
    sites: tuple[str, ...] | None
    """Blocks whose K/V are recorded."""
    every: int | None
    """Of how many calls one is recorded, of all tokens; None: none is."""
    subject: SubjectKey | None
    references: tuple[ReferenceKind, ...]
    """What the model was told of while it inverted."""
    seed: int | None
    """Of the noise; None if it was found by inversion."""
    weights: WeightsId

    @property
    def calls_model(self) -> bool:
        """Whether the model is called to make it."""
        return self.seed is None or self.sites is not None or self.every is not None


@dataclass(frozen=True, eq=False)
class Prepared:
    """An inversion, and its timings."""

    inversion: Inversion
    timings: tuple[Timing, ...]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        records = [record for record in (self.inversion.kv, self.inversion.tokens) if record is not None]
        return sum(held.nbytes for held in (*self.inversion.states, *records))


class Inversions:
    """The last inversions, the least recently used dropped first; for any number of threads."""

    def __init__(self, count: int | None = None, max_bytes: int | None = None) -> None:
        """Keep so many of them, and so many bytes, at most; None does not limit.

        One that is larger than `max_bytes` by itself is not kept.
        """
        self._count, self._max_bytes = count, max_bytes
        self._kept: OrderedDict[InversionKey, Prepared] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, key: InversionKey, backbone: Backbone) -> Prepared | None:
        """The inversion for a key, if it is kept, where the backbone wants it."""
        with self._changing:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def holds(self, key: InversionKey, backbone: Backbone) -> bool:
        """Whether `get` will probably give the inversion; reads nothing."""
        return key in self._kept

    def put(self, key: InversionKey, prepared: Prepared, backbone: Backbone) -> None:
        """Keep an inversion that the backbone made."""
        with self._changing:
            self._kept[key] = prepared
            while self._kept and self._exceeded:
                self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(prepared.nbytes for prepared in self._kept.values())

    @property
    def _exceeded(self) -> bool:
        too_many = self._count is not None and len(self._kept) > self._count
        return too_many or (self._max_bytes is not None and self.nbytes > self._max_bytes)
