"""Blocks of a transformer that rest in main memory, and are on the device only while it is their turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_MARK = "_dragflow_swapped"


def blocks_of(network: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a transformer of diffusers: the members of its lists."""
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            yield from child


def swap_blocks(network: nn.Module, device: torch.device) -> None:
    """Keep the blocks of a network in main memory from now on; each is copied to the device when it runs.

    Gradients are those of blocks that are always there: a copy is a tensor of its own, which the backward pass keeps as
    long as it needs it, and the weights themselves never change. (Moving them in place would change under autograd's
    hands what it has saved.) Memory is saved in the backward pass only where activations are recomputed, since
    what a block saves for it includes its weights.

    Args:
        network: whose weights are frozen.
        device: where the rest of it goes.
    """
    for block in blocks_of(network):
        if not hasattr(block, _MARK):
            setattr(block, _MARK, True)
            block.to("cpu")
            if device.type == "cuda":
                _pin(block)
            turn = _Turn(device)
            block.register_forward_pre_hook(turn.begin)
            block.register_forward_hook(turn.end, always_call=True)
    move(network, device)


def is_swapped(network: nn.Module) -> bool:
    """Whether the blocks of a network rest in main memory."""
    return any(hasattr(block, _MARK) for block in blocks_of(network))


def move(network: nn.Module, device: torch.device | str) -> None:
    """`network.to(device)`, but for blocks that rest in main memory."""
    if not is_swapped(network):
        network.to(device)
        return
    for child in network.children():
        if not isinstance(child, nn.ModuleList):
            child.to(device)
    for own in (network._parameters, network._buffers):
        for x in own.values():
            if x is not None:
                x.data = x.data.to(device)


class _Turn:
    """Puts copies of a block's tensors in their places while it runs."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own: list[tuple[dict[str, Any], str, Tensor]] = []

    def begin(self, block: nn.Module, _: Any) -> None:
        for module in block.modules():
            for held in _places(module):
                for name, x in held.items():
                    if x is not None:
                        self._own.append((held, name, x))
                        held[name] = _copied(x, self._device)

    def end(self, block: nn.Module, _: Any, out: Any) -> None:
        while self._own:
            held, name, x = self._own.pop()
            held[name] = x


def _places(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where a module holds its own tensors."""
    return module._parameters, module._buffers


def _copied(x: Tensor, device: torch.device) -> Tensor:
    """Of plain tensors always a tensor of its own; what the libraries quantise may be the same on the same device."""
    if type(x.data) is Tensor:
        return x.to(device, non_blocking=True, copy=True)
    return x.to(device, non_blocking=True)


def _pin(block: nn.Module) -> None:
    """Of plain tensors alone: those of the libraries that quantise know of no such memory."""
    for x in (*block.parameters(), *block.buffers()):
        if type(x.data) is Tensor:
            x.data = x.data.pin_memory()
