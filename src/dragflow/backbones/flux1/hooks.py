"""A subject inside one FLUX.1 block: hooks that live for one call of that block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.hooks import refuse_fused
from dragflow.method.backbone import SubjectControl


@contextmanager
def subject_hooks(block: Any, name: str, text_tokens: int, subject: SubjectControl | None) -> Iterator[None]:
    """Add a subject's features to the tokens that read them while one block runs; see `SubjectControl.place`.

    Attentions of double blocks have an output projection, and it takes the sum; those of single blocks have none.

    Raises:
        CapabilityError: projections were fused after the model was loaded.
    """
    if subject is None or name not in subject.blocks:
        yield
        return
    attention, place = block.attn, subject.place
    refuse_fused(attention)
    skipped = 0 if place.text else text_tokens
    queries: list[Tensor] = []

    def see(_: nn.Module, __: Any, out: Tensor) -> None:
        queries.append(out[:, skipped:].flatten(2))  # the norm's output has the heads apart

    def read() -> Tensor:
        return subject(name, queries.pop())

    def add(out: Tensor) -> Tensor:
        return torch.cat([out[:, :skipped], out[:, skipped:] + read()], dim=1) if skipped else out + read()

    with ExitStack() as stack:
        seen = (attention.norm_q if place.normed else attention.to_q).register_forward_hook(see)
        stack.callback(seen.remove)
        if place.output == "block":
            change = block.register_forward_hook(lambda _, __, out: (out[0], out[1] + read()))
        elif text_tokens:
            change = attention.register_forward_hook(lambda _, __, out: add(out))
        else:
            change = attention.to_out[0].register_forward_pre_hook(lambda _, args: (add(args[0]), *args[1:]))
        stack.callback(change.remove)
        yield
