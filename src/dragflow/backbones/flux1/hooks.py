"""Seeing and changing what runs inside one FLUX.1 block: hooks that live for one call of that block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import KVControl, Site, SubjectControl

FUSED = (
    "the projections of {name} are fused, so its keys and values cannot be seen: "
    "call unfuse_qkv_projections() on the transformer first"
)


@contextmanager
def kv_hooks(attention: Any, name: str, text_tokens: int, kv: KVControl | None) -> Iterator[None]:
    """Let a control see and replace the image tokens' projections while one block runs."""
    if kv is None or name not in kv.blocks:
        yield
        return
    if getattr(attention, "fused_projections", False):
        raise CapabilityError(FUSED.format(name=name))

    def hook(site: Site) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def replace(_: nn.Module, __: Any, out: Tensor) -> Tensor:
            image = kv(site, out[:, text_tokens:])
            return image if text_tokens == 0 else torch.cat([out[:, :text_tokens], image], dim=1)

        return replace

    with ExitStack() as stack:
        for part, projection in (("k", attention.to_k), ("v", attention.to_v)):
            handle = projection.register_forward_hook(hook(Site(name, part)))  # pyright: ignore[reportArgumentType]
            stack.callback(handle.remove)
        yield


@contextmanager
def norm_hook(norm: nn.Module) -> Iterator[list[Tensor]]:
    """Catch the modulated output of an adaptive norm while one block runs."""
    seen: list[Tensor] = []
    handle = norm.register_forward_hook(lambda _, __, out: seen.append(out[0]))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def subject_hooks(block: Any, name: str, text_tokens: int, subject: SubjectControl | None) -> Iterator[None]:
    """Add a subject's features to the tokens that read them while one block runs; see `SubjectControl.place`.

    Attentions of double blocks have an output projection, and it takes the sum; those of single blocks have none.
    """
    if subject is None or name not in subject.blocks:
        yield
        return
    attention, place = block.attn, subject.place
    if getattr(attention, "fused_projections", False):
        raise CapabilityError(FUSED.format(name=name))
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
