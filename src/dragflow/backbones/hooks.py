"""Seeing and changing what runs inside one block of a transformer: hooks that live for one call of that block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.core.errors import CapabilityError
from dragflow.method.backbone import KVControl, Site


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
