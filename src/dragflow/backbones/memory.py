"""How a model is loaded so that it fits a memory: computed from its configurations, tried from the best to the least.

Bytes of activations were counted on FLUX.1 without values, as multiples of what one stream of tokens takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch

from dragflow.backbones.devices import free_memory, pick_device
from dragflow.backbones.footprint import Footprint
from dragflow.core.models import ModelOptions

GIB = 2**30
SIZE = (1024, 1024)
"""Of the picture that is planned for, (h, w)."""
STORED_BYTES = {"int8": 1.0, "fp8": 1.0, "layerwise-fp8": 1.0, "nf4": 0.52}
"""Bytes of one parameter of the transformer's blocks; a GGUF file is taken for Q8."""
_GGUF_BYTES = 34 / 32
_TEXT_TOKENS = 512
_CALL, _GRADIENT, _KEPT, _RECOMPUTED = 17, 37, 28, 1
"""Streams that a model call holds, and the gradient; what this keeps of a block that it goes through, and what of one
whose activations are computed again."""
_PIXEL = 12
"""Numbers that the autoencoder holds for each pixel and channel of its first stage."""
_TILE = 512 * 512
_RESERVE, _LOST = 0.7 * GIB, 0.06
"""What a device keeps for itself, and the share of its memory that fragments."""


@dataclass(frozen=True)
class Plan:
    """How a model is loaded, and what that takes."""

    options: ModelOptions
    needed: float
    """Bytes at the peak, an estimate."""
    memory: float
    """Bytes that there are."""

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.needed <= usable(self.memory)

    def __str__(self) -> str:
        options = self.options
        stored = options.dtype if options.quantize is None else f"{options.dtype}, weights as {options.quantize}"
        places = {
            "encoders in main memory while idle": options.offload,
            "blocks too, each until its turn": options.swap,
            "activations recomputed": options.checkpointing,
            "pictures decoded in tiles": options.tiles,
        }
        chosen = ", ".join([str(stored), *(said for said, applies in places.items() if applies)])
        room = f"{self.needed / GIB:.1f} of {self.memory / GIB:.1f} GiB"
        return f"{chosen}: {room}" if self.fits else f"does not fit: {chosen} would take {room}"


def usable(memory: float) -> float:
    """Bytes of a device's memory that a model can have."""
    return memory * (1 - _LOST) - _RESERVE


def fitted(options: ModelOptions, sizes: Footprint) -> ModelOptions:
    """Options whose `memory` is settled into the others."""
    device = pick_device(options.device)
    if options.memory is None:
        return options
    asked = options.memory
    memory = _free(device) if asked == "auto" else asked * GIB
    return replace(plan(options, sizes, memory, accelerated=device.type != "cpu").options, memory=None)


def plan(
    options: ModelOptions, sizes: Footprint, memory: float, *, accelerated: bool, size: tuple[int, int] = SIZE
) -> Plan:
    """The first way to load a model that fits, else that which takes least; what is given stays.

    Args:
        options: what is given.
        sizes: of the model.
        memory: bytes of the device.
        accelerated: whether that is not the CPU.
        size: of the picture (h, w).
    """
    plans = [Plan(one, needed(one, sizes, size), memory) for one in _ways(options, accelerated=accelerated)]
    return next((one for one in plans if one.fits), min(plans, key=lambda one: one.needed))


def _ways(options: ModelOptions, *, accelerated: bool) -> Iterator[ModelOptions]:
    """Ways to load a model: first those whose results are the nearest to the plain one's, of these the fastest."""
    widths = ("bfloat16",) if accelerated else ("float32", "bfloat16")
    dtypes = widths if options.dtype is None else (options.dtype,)
    packed = ("int8", "nf4") if find_spec("torchao") else ("layerwise-fp8",)
    stored = [(dtype, options.quantize) for dtype in dtypes]
    stored += [(dtypes[-1], kind) for kind in packed if options.quantize is None]
    recomputed = {"checkpointing": True} if options.checkpointing is None else {}
    tiled = recomputed | {"tiles": True}
    places: list[dict[str, bool]] = [{}, recomputed, tiled]
    if accelerated:
        places = [recomputed, recomputed | {"offload": True}, tiled | {"offload": True}]
    for dtype, kind in stored:
        for place in places:
            yield replace(options, dtype=dtype, quantize=kind, **place)
    if accelerated and options.checkpointing is not False:
        for dtype, kind in stored:
            yield replace(options, dtype=dtype, quantize=kind, swap=True, **places[-1])


def needed(options: ModelOptions, sizes: Footprint, size: tuple[int, int], *, dragged: bool = True) -> float:
    """Bytes at the peak of an edit, an estimate.

    Args:
        options: how the model is loaded, its dtype among it.
        sizes: of the model.
        size: of the picture (h, w).
        dragged: whether gradients are taken.
    """
    number = 4 if options.dtype == "float32" else 2
    stored = _GGUF_BYTES if options.gguf is not None else STORED_BYTES.get(options.quantize or "", number)
    blocks = sizes.blocks or sizes.transformer
    held = 2 * (sizes.block or blocks) if options.swap else blocks
    transformer = held * stored + (sizes.transformer - blocks) * number
    tokens = _TEXT_TOKENS + size[0] * size[1] // sizes.pixel_multiple**2
    kept = _RECOMPUTED if options.checkpointing else _KEPT
    streams = max(_CALL, _GRADIENT + kept * sizes.tapped) if dragged else _CALL
    pixels = min(size[0] * size[1], _TILE) if options.tiles else size[0] * size[1]
    decoding = pixels * sizes.channels * _PIXEL * number
    working = tokens * sizes.width * streams * number
    if options.offload:  # text encoders and transformer take turns where there is no room for both
        return transformer + max(working, decoding + sizes.autoencoder * number)
    return transformer + sizes.others * number + max(working, decoding)


def _free(device: torch.device) -> float:
    if device.type == "cpu":
        import psutil

        return psutil.virtual_memory().available
    return free_memory(device)
