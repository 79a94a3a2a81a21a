"""Where a model runs and what it computes in: devices and dtypes by name, offloaded networks, the place of a cache."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from dragflow.backbones.swap import move
from dragflow.core.errors import UserError

_HOLDERS = ("dragflow", "diffusers")
"""Packages whose objects hold networks."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | None) -> torch.device:
    """The device of this name; when None, a GPU if there is one.

    Raises:
        UserError: it is not available.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} is not available here: use cpu, or see `dragflow doctor`") from error
    return device


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The dtype of this name; when None, bfloat16 on an accelerator and float32 on a CPU.

    Raises:
        UserError: no such name.
    """
    if name is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _DTYPES:
        raise UserError(f"dtype {name!r} is not known: choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def hand_back_memory() -> None:
    """Hand what dropped networks occupied back to the other programs of the device."""
    gc.collect()  # networks hold each other in circles
    torch.cuda.empty_cache()  # does nothing where there is none
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def idle_device(device: torch.device, *, offload: bool) -> torch.device:
    """Where a network that works on `device` is kept while it is idle."""
    return torch.device("cpu") if offload else device


@contextmanager
def on_device(
    modules: Iterable[Any], device: torch.device, *, offload: bool, aside: nn.Module | None = None
) -> Iterator[None]:
    """Bring offloaded networks to a device while they are used.

    Args:
        modules: the networks.
        device: where they work; those that have no room there work in main memory.
        offload: whether they were offloaded; nothing is moved otherwise.
        aside: goes to main memory meanwhile where there is no room for both.
    """
    if not offload:
        yield
        return
    modules = tuple(modules)
    size = sum(x.nbytes for module in modules for x in module.parameters())
    crowded = aside is not None and size > free_memory(device)
    try:
        if aside is not None and crowded:
            move(aside, "cpu")
        if size <= free_memory(device):
            for module in modules:
                move(module, device)
        yield
    finally:
        for module in modules:
            move(module, "cpu")
        if aside is not None and crowded:
            move(aside, device)


def free_memory(device: torch.device) -> float:
    """Bytes of a device that can be taken, as far as it says so; those of the CPU have no end."""
    if device.type != "cuda":
        return float("inf")
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def networks_of(holder: object) -> tuple[nn.Module, ...]:
    """Every network that an object of dragflow holds, however deep; those that share weights each."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    waiting = [holder]
    while waiting:
        one: Any = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            found[id(one)] = one
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        elif type(one).__module__.split(".")[0] in _HOLDERS:
            waiting.extend(getattr(one, "__dict__", {}).values())
    return tuple(found.values())


class Rest:
    """Networks that share an accelerator with other programs' parts: they are there only while they work."""

    def __init__(self, holder: object) -> None:
        """Take the networks of an object, which are now where they work."""
        self._holder = holder
        self._placed: tuple[tuple[nn.Module, torch.device], ...] | None = None

    @contextmanager
    def working(self, lock: AbstractContextManager[object]) -> Iterator[None]:
        """Bring the networks to where they work, and back to main memory at the end; the lock is held meanwhile."""
        with lock, ExitStack() as places:
            if self._placed is None:
                self._placed = tuple((network, _device_of(network)) for network in networks_of(self._holder))
            for network, device in self._placed:
                places.enter_context(on_device((network,), device, offload=device.type != "cpu"))
            yield


def _device_of(network: nn.Module) -> torch.device:
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))


def cache_device(size: int, device: torch.device) -> torch.device:
    """The device where a cache of `size` bytes takes at most half of the free memory, else the CPU."""
    if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] / 2:
        return torch.device("cpu")
    return device
