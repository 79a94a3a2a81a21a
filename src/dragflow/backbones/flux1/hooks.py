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
def subject_hooks(block: Any, name: str, image: slice, subject: SubjectControl | None) -> Iterator[None]:
    """Add a subject's features to the tokens that read them while one block runs; see `SubjectControl.place`.

    Attentions of double blocks have an output projection, and it takes the sum; those of single blocks have none.

    Args:
        block: of the transformer.
        name: of the block.
        image: where the image tokens are among those that are attended to together; text comes before them.
        subject: what is added.

    Raises:
        CapabilityError: projections were fused after the model was loaded.
    """
    if subject is None or name not in subject.blocks:
        yield
        return
    attention, place = block.attn, subject.place
    refuse_fused(attention)
    readers = slice(0 if place.text else image.start, image.stop)
    queries: list[Tensor] = []

    def see(_: nn.Module, __: Any, out: Tensor) -> None:
        queries.append(out[:, readers].flatten(2))  # the norm's output has the heads apart

    def add(out: Tensor, start: int) -> Tensor:
        read = subject(name, queries.pop())
        stop = start + read.shape[1]
        return torch.cat([out[:, :start], out[:, start:stop] + read, out[:, stop:]], dim=1)

    with ExitStack() as stack:
        seen = (attention.norm_q if place.normed else attention.to_q).register_forward_hook(see)
        stack.callback(seen.remove)
        if place.output == "block":  # which gives text and image apart
            change = block.register_forward_hook(lambda _, __, out: (out[0], add(out[1], 0)))
        elif image.start:
            change = attention.register_forward_hook(lambda _, __, out: add(out, readers.start))
        else:
            change = attention.to_out[0].register_forward_pre_hook(lambda _, args: (add(args[0], 0), *args[1:]))
        stack.callback(change.remove)
        yield
