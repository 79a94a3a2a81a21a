"""Computing the tokens of the editable area alone, which attend to what was recorded of all others.

The record is made while the source is inverted, and looked up by time, never by counting calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

KeysValues = tuple[Float[Tensor, "b heads n e"], Float[Tensor, "b heads n e"]]
"""Of an attention as it takes them: after norm and rotary embedding."""
TokenKind = Literal["text", "image", "after"]
"""`after`: what follows the image's tokens, as those of references do, or what pads them."""
TextTokens = Literal["fresh", "recorded"]


@dataclass(eq=False)
class CallRecord:
    """What one model call left: keys and values of all tokens in every attention, in the model's dtype."""

    device: torch.device
    """Where they are kept."""
    attentions: dict[str, KeysValues] = field(default_factory=dict[str, KeysValues])
    """By block, tokens in the order in which its attention has them."""
    counts: dict[TokenKind, int] = field(default_factory=dict[TokenKind, int])
    """How many there are of each kind."""
    references: dict[int, Float[Tensor, "n 2"]] = field(default_factory=dict[int, Float[Tensor, "n 2"]])
    """Where the tokens of each reference were on the image's token grid, by its index."""
    negative: CallRecord | None = None
    """Of the call with the negative prompt, where classifier-free guidance made one."""

    def of_negative(self) -> CallRecord:
        """Where the call with the negative prompt is recorded."""
        if self.negative is None:
            self.negative = CallRecord(self.device)
        return self.negative

    @property
    def nbytes(self) -> int:
        """Memory held."""
        own = sum(x.nbytes for pair in self.attentions.values() for x in pair)
        return own if self.negative is None else own + self.negative.nbytes


@dataclass(frozen=True, eq=False)
class Active:
    """Which tokens a model call computes; what they attend to is what it computes and what is recorded of the rest.

    It gives zeros where nothing is computed.
    """

    tokens: Bool[Tensor, "gh gw"]
    """The image's that are computed. Of a reference that the record has too, those that are placed there are."""
    record: CallRecord
    """Of a call with as many image tokens; the best is one at the same time."""
    text: TextTokens = "fresh"
    """Whether the text's tokens are computed too; a prompt that is not the record's needs that. `recorded` holds for
    a negative prompt only if the record has one."""

    @property
    def negative(self) -> Active:
        """The same for the call with the negative prompt."""
        known = self.record.negative
        return Active(self.tokens, self.record, "fresh") if known is None else Active(self.tokens, known, self.text)


@dataclass(frozen=True, eq=False)
class TokenRecord:
    """The records of one inversion, by time."""

    times: dict[float, CallRecord]

    @staticmethod
    def of(times: Sequence[float], device: torch.device) -> TokenRecord:
        """An empty one for calls at these times."""
        return TokenRecord({t: CallRecord(device) for t in times})

    def active(self, t: float, tokens: Bool[Tensor, "gh gw"], text: TextTokens) -> Active:
        """These tokens alone, beside the record of the time nearest to t."""
        nearest = min(self.times, key=lambda recorded: abs(recorded - t))
        return Active(tokens, self.times[nearest], text)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(record.nbytes for record in self.times.values())
