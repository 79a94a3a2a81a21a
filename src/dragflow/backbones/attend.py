"""The tokens of a model call that are computed, and how they attend to the recorded ones of the rest: of every family.

The library's attentions all end in torch's `scaled_dot_product_attention`, of keys and values after norm and rotary
embedding. They are seen and added to there, while one block runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dragflow.backbones.streams import Attend, ImageFirst, Order
from dragflow.core.errors import CapabilityError
from dragflow.method.active import Active, CallRecord, KeysValues, TokenKind
from dragflow.method.backbone import KVControl, Projection, Reference, Site

_ATTENTION = F.scaled_dot_product_attention
_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
"""Those that it takes by their places."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Keeps them, and changes nothing."""

    into: CallRecord

    def __call__(self, name: str, order: Order, keys_values: KeysValues) -> KeysValues:
        """See `Attend`."""
        key, value = (x.detach().to(self.into.device, copy=True) for x in keys_values)
        self.into.attentions[name] = key, value
        return keys_values


@dataclass(frozen=True, eq=False)
class Joining:
    """Adds the recorded ones of tokens that are not computed."""

    record: CallRecord
    rest: Mapping[TokenKind, Int[Tensor, " r"]]
    """Which tokens of each kind these are."""

    def __call__(self, name: str, order: Order, keys_values: KeysValues) -> KeysValues:
        """See `Attend`.

        Raises:
            CapabilityError: nothing of this attention was recorded.
        """
        if not any(map(len, self.rest.values())):
            return keys_values
        if name not in self.record.attentions:
            raise CapabilityError(
                f"nothing of {name} was recorded while the source was inverted, so some tokens alone cannot be "
                "computed: set subject.inverting as subject.sampling, or tokens.active to all"
            )
        key, value = self.record.attentions[name]
        rest = self._places(order).to(key.device)

        def joined(own: Tensor, recorded: Tensor) -> Tensor:
            others = recorded.index_select(2, rest).to(own)
            return torch.cat([own, others.expand(len(own), -1, -1, -1)], dim=2)

        return joined(keys_values[0], key), joined(keys_values[1], value)

    def _places(self, order: Order) -> Int[Tensor, " r"]:
        """Where the rest is in the record of an attention."""
        firsts = accumulate((self.record.counts[kind] for kind in order), initial=0)
        return torch.cat([first + self.rest[kind] for kind, first in zip(order, firsts, strict=False)])


@contextmanager
def attend_hook(attention: nn.Module, name: str, order: Order, attend: Attend | None) -> Iterator[None]:
    """Let keys and values be recorded or added to while one block runs.

    Args:
        attention: of the block; a subject's, which may run inside of it, is left alone.
        name: by which its record is known.
        order: of its tokens.
        attend: what becomes of them.

    Raises:
        CapabilityError: the attention backend shows no keys and values.
    """
    if attend is None:
        yield
        return
    mode = _SeenAttention(lambda keys_values: attend(name, order, keys_values))
    handle = attention.register_forward_pre_hook(lambda *_: mode.expect())
    try:
        with mode:
            yield
    finally:
        handle.remove()
    if mode.expecting:
        raise CapabilityError(
            f"the attention of {name} does not end in torch's scaled_dot_product_attention, so its keys and values "
            "cannot be seen: set_attention_backend('native') on the transformer, or set tokens.active to all"
        )


class _SeenAttention(TorchFunctionMode):
    """Changes keys and values of the next attention once one is expected."""

    def __init__(self, change: Callable[[KeysValues], KeysValues]) -> None:
        super().__init__()
        self._change = change
        self.expecting = False

    def expect(self) -> None:
        self.expecting = True

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.expecting or func is not _ATTENTION:
            return func(*args, **kwargs)
        self.expecting = False
        given: dict[str, Any] = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
        given["key"], given["value"] = self._change((given["key"], given["value"]))
        return func(**given)


@dataclass(frozen=True, eq=False)
class _Within:
    """A control as a call of some tokens asks it: of the others it sees zeros."""

    whole: KVControl
    stream: ImageFirst

    @property
    def blocks(self) -> frozenset[str]:
        return self.whole.blocks

    def __call__(self, site: Site, x: Projection) -> Projection:
        return self.whole(site, self.stream.on_grid(x))[:, self.stream.inside]


def within(kv: KVControl | None, stream: ImageFirst) -> KVControl | None:
    """A control of all image tokens as the blocks can ask it, which may have some of them."""
    return kv if kv is None or stream.inside is None else _Within(kv, stream)


def attending(
    stream: ImageFirst, references: Sequence[Reference], active: Active | None, record: CallRecord | None
) -> ImageFirst:
    """The stream into the first block, of what is computed alone, or to be recorded.

    Args:
        stream: of all tokens.
        references: those of which it has tokens.
        active: what is computed; None: everything.
        record: gets keys and values of everything; None: nothing does.
    """
    if record is not None:
        if active is not None:
            raise ValueError("a call that computes some tokens alone leaves no record")
        image, text = stream.image_tokens, stream.text.shape[1]
        record.counts = {"text": text, "image": image, "after": stream.tokens.shape[1] - image}
        record.references = {each.index: each.positions for each in references}
        return replace(stream, attend=Recording(record))
    return stream if active is None else _narrowed(stream, references, active)


def _narrowed(stream: ImageFirst, references: Sequence[Reference], active: Active) -> ImageFirst:
    known, fresh = active.record, active.text == "fresh"
    seen = active.tokens.to(stream.tokens.device)
    inside, outside = _numbers(seen.flatten()), _numbers(~seen.flatten())
    text = stream.text.shape[1] if fresh else stream.least_text
    computed, rest = _after(stream, references, seen, active)
    return replace(
        stream.only(torch.cat([inside, stream.image_tokens + computed]), slice(text)),
        inside=inside,
        attend=Joining(
            known,
            {
                "text": torch.arange(text, text if fresh else known.counts["text"], device=seen.device),
                "image": outside,
                "after": rest,
            },
        ),
    )


def _after(
    stream: ImageFirst, references: Sequence[Reference], seen: Tensor, active: Active
) -> tuple[Int[Tensor, " c"], Int[Tensor, " r"]]:
    """Of the tokens after the image's, which of the stream's are computed, and which of the record's are the rest.

    What pads the image goes with the text.
    """

    def placed_there(positions: Tensor) -> Tensor:
        rows, columns = positions.long().unbind(1)
        return seen[rows, columns]

    known = active.record.references
    told = [placed_there(each.positions) | (each.index not in known) for each in references]
    given = {each.index for each in references}
    left = [~placed_there(positions) & (index in given) for index, positions in known.items()]
    pads = stream.tokens.shape[1] - stream.image_tokens - sum(map(len, told))
    fresh = torch.full((pads,), active.text == "fresh", device=seen.device)
    return _numbers(torch.cat([*told, fresh])), _numbers(torch.cat([*left, ~fresh]))


def _numbers(mask: Tensor) -> Int[Tensor, " n"]:
    return mask.nonzero().flatten()
