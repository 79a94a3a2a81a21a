"""Seeing and changing what runs inside one block of a transformer: hooks that live for one call of that block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.streams import IMAGE, Attend
from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import KVControl, OwnKV, Site, SubjectControl


def refuse_fused(network: nn.Module) -> None:
    """Refuse fused projections: hooks on single ones would never fire, and a control would silently do nothing.

    Raises:
        CapabilityError: an attention of the network, or the network itself, has them.
    """
    for name, module in network.named_modules():
        if getattr(module, "fused_projections", False):
            raise CapabilityError(
                f"the projections of {name or 'this attention'} are fused, so its keys and values cannot be seen: "
                "call unfuse_qkv_projections() on the transformer first"
            )


@contextmanager
def kv_hooks(attention: Any, name: str, image: slice, kv: KVControl | None) -> Iterator[None]:
    """Let a control see and replace the image tokens' projections while one block runs.

    Args:
        attention: with the projections `to_k` and `to_v`.
        name: of the block.
        image: where the image tokens are among those that are projected together.
        kv: the control.

    Raises:
        CapabilityError: projections were fused after the model was loaded.
    """
    if kv is None or name not in kv.blocks:
        yield
        return
    refuse_fused(attention)

    def hook(site: Site) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def replace(_: nn.Module, __: Any, out: Tensor) -> Tensor:
            tokens = range(out.shape[1])[image]
            changed = kv(site, out[:, image])
            if len(tokens) == out.shape[1]:
                return changed
            return torch.cat([out[:, : tokens.start], changed, out[:, tokens.stop :]], dim=1)

        return replace

    with ExitStack() as stack:
        for part, projection in (("k", attention.to_k), ("v", attention.to_v)):
            handle = projection.register_forward_hook(hook(Site(name, part)))  # pyright: ignore[reportArgumentType]
            stack.callback(handle.remove)
        yield


@contextmanager
def sliced_kv_hooks(projection: nn.Module, name: str, image: slice, width: int, kv: KVControl | None) -> Iterator[None]:
    """The same as `kv_hooks` for a block in which one projection gives keys, values and more side by side.

    Args:
        projection: of queries, keys and values together.
        name: of the block.
        image: where the image tokens are among those that are projected together.
        width: channels of the queries, after which come as many of keys, and of values.
        kv: the control.
    """
    if kv is None or name not in kv.blocks:
        yield
        return

    def replace(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        changed = out.clone()  # a tensor of its own: what the library computes further from `out` has its gradients
        for site, first in ((Site(name, "k"), width), (Site(name, "v"), 2 * width)):
            channels = slice(first, first + width)
            changed[:, image, channels] = kv(site, out[:, image, channels])
        return changed

    handle = projection.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def subject_hooks(
    block: Any,
    name: str,
    image: slice,
    subject: SubjectControl | None,
    *,
    heads: int = 2,
    attend: Attend | None = None,
) -> Iterator[None]:
    """Add a subject's features to the tokens that read them while one block runs; see `SubjectControl.place`.

    Attentions that take text and image apart have an output projection, and it takes the sum; others have none. Where
    keys and values are controlled, too, enter `kv_hooks` first: a subject sees what it leaves of them.

    Args:
        block: of the transformer.
        name: of the block.
        image: where the image tokens are among those that are attended to together; text comes before them.
        subject: what is added.
        heads: axis of the heads in what the norm of the queries gives.
        attend: what becomes of the keys and values that the subject attends to beside its own.

    Raises:
        CapabilityError: projections were fused after the model was loaded.
    """
    if subject is None or name not in subject.blocks:
        yield
        return
    attention, place = block.attn, subject.place
    refuse_fused(attention)
    readers = slice(0 if place.text else image.start, image.stop)
    normed = place.normed and attention.norm_q is not None
    sources: dict[str, Any] = {"q": attention.norm_q if normed else attention.to_q}
    if place.own_kv:
        sources |= {"k": attention.to_k, "v": attention.to_v}
    seen: dict[str, Tensor] = {}

    def see(part: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_: nn.Module, __: Any, out: Tensor) -> None:
            joined = out if out.ndim == 3 else out.movedim(heads, 2).flatten(2)
            seen[part] = joined[:, readers]

        return keep

    def own() -> OwnKV:
        key, value = seen.pop("k"), seen.pop("v")
        if attend is None:
            return key, value
        key, value = attend(f"{name}.subject", IMAGE, (key[:, None], value[:, None]))  # as one head
        return key[:, 0], value[:, 0]

    def add(out: Tensor, start: int) -> Tensor:
        query = seen.pop("q")
        read = subject(name, query, own()) if place.own_kv else subject(name, query)
        stop = start + read.shape[1]
        return torch.cat([out[:, :start], out[:, start:stop] + read, out[:, stop:]], dim=1)

    with ExitStack() as stack:
        for part, module in sources.items():
            stack.callback(module.register_forward_hook(see(part)).remove)
        if place.output == "block":  # which gives text and image apart
            change = block.register_forward_hook(lambda _, __, out: (out[0], add(out[1], 0)))
        elif getattr(attention, "to_out", None) is None:
            change = attention.register_forward_hook(lambda _, __, out: add(out, readers.start))
        else:
            change = attention.to_out[0].register_forward_pre_hook(lambda _, args: (add(args[0], 0), *args[1:]))
        stack.callback(change.remove)
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
def input_hook(module: nn.Module, name: str | None = None) -> Iterator[list[Tensor]]:
    """Catch what a module is given under a name, or first, while one block runs; for norms that are no module."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(
        lambda _, args, given: seen.append(args[0] if name is None else given[name]), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()
