"""Weights that are stored in 8 bits or fewer, with scales beside them, and what they stand for.

Scaled fp8: w = float(q) * scale, the product in float32, which is then rounded to the type that is asked for. The scale
is one number, one for each row, one for so many values of a row, or one for each square block. bitsandbytes' nf4 and
fp4 (arXiv 2305.14314): w = code[q] * absmax, with one absmax for so many values, which may be stored so itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.checkpoints.names import is_beside
from dragflow.backbones.tensors import Entries, Entry, Shape, is_plain, shown

Read = Callable[[str], Tensor]
"""Reads a tensor of a file by its name."""

_FP8 = ("F8_E4M3", "F8_E5M2")
_SCALES = ("scale_weight", "weight_scale", "weight_scale_inv", "scale_inv")
"""Last part of the name of a weight's scale: ComfyUI's of 2024, then of 2025, and two of block-wise ones, which are
multiplied with in spite of their names."""
_OF_INPUTS = ("scale_input", "input_scale")
"""Scales of a layer's inputs, for products in fp8. Ours are not in fp8, so these have no meaning."""
_OF_LAYER = "comfy_quant"
_MARK = "scaled_fp8"
"""Whole name of a tensor that only says how a file is stored."""
_FORMATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_rowwise", "float8_e4m3fn_blockwise")
_STATE = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")
_MOST_BYTES = 1 << 16
"""Of a description that is stored as a tensor."""


@dataclass(frozen=True)
class Stored:
    """A weight: its shape, and how it is stored."""

    name: str
    """In the file."""
    shape: Shape
    scale: str | None = None
    """Name of the tensor of its scale, if it is scaled fp8."""
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """bitsandbytes' description of it, if it is packed."""


def stored(entries: Entries, read: Read, metadata: Mapping[str, str] | None = None) -> dict[str, Stored]:
    """The weights of a file by their names; what is only there to read them is left out.

    Args:
        entries: tensors of one network.
        read: reads one of them.
        metadata: of the file.

    Raises:
        ValueError: a way of storing weights that is not read, or a scale that is missing, surplus or does not fit;
            names the tensor.
    """
    _check_formats(entries, read, metadata or {})
    found: dict[str, Stored] = {}
    scaled = any(name.rpartition(".")[2] in _SCALES for name in entries) or _MARK in entries
    used: set[str] = set()
    for name, entry in entries.items():
        layer, _, end = name.rpartition(".")
        if name == _MARK or end in (*_SCALES, *_OF_INPUTS, _OF_LAYER) or _is_packing(name, entries):
            continue
        if state := next((each for each in _STATE if f"{name}.{each}" in entries), None):
            found[name] = _packed(name, entries, _description(f"{name}.{state}", entries, read))
            continue
        scales = [each for each in (f"{layer}.{scale}" for scale in _SCALES) if each in entries]
        if end != "weight" or not scales:
            if scaled and end == "weight" and entry.dtype in _FP8 and len(entry.shape) > 1:
                raise ValueError(f"tensor {shown(name)} is fp8 without a scale, in a file of scaled ones")
            if not is_plain(name, entry) and not is_beside(name):
                raise ValueError(f"tensor {shown(name)} has the type {entry.dtype}, which is not one of weights")
            found[name] = Stored(name, entry.shape)
            continue
        used.update(scales)
        if len(scales) > 1 or entry.dtype not in _FP8:
            raise ValueError(
                f"tensor {shown(name)} of type {entry.dtype} has the scale {shown(scales[-1])}, not of fp8"
            )
        _check_scale(name, entry, scales[0], entries[scales[0]])
        found[name] = Stored(name, entry.shape, scales[0])
    lost = [name for name in entries if name.rpartition(".")[2] in _SCALES and name not in used]
    if lost:
        raise ValueError(f"the scale {shown(lost[0])} belongs to no weight")
    return found


def weight(what: Stored, read: Read, dtype: torch.dtype | None) -> Tensor:
    """A weight as it is computed with.

    Args:
        what: the weight.
        read: reads tensors of its file.
        dtype: what it is rounded to; None: as it is stored, or float32.

    Raises:
        ValueError: a scale is not finite.
    """
    if what.scale is not None:
        scale = read(what.scale).float()
        if not bool(scale.isfinite().all()):
            raise ValueError(f"the scale {shown(what.scale)} is not finite")
        found = _scaled(read(what.name).float(), scale)
    elif what.state:
        found = _unpacked(what, read)
    else:
        found = read(what.name)
    return found if dtype is None or not found.is_floating_point() else found.to(dtype)


def _check_formats(entries: Entries, read: Read, metadata: Mapping[str, str]) -> None:
    """Refuse what ComfyUI's descriptions name and is not one of the formats that are read."""
    described = {name: _description(name, entries, read) for name in entries if name.rpartition(".")[2] == _OF_LAYER}
    if "_quantization_metadata" in metadata:
        layers = _json("_quantization_metadata", metadata["_quantization_metadata"]).get("layers")
        described |= layers if isinstance(layers, dict) else {}
    for name, facts in described.items():
        kind = facts.get("format") if isinstance(facts, dict) else facts
        if kind not in _FORMATS or (isinstance(facts, dict) and facts.get("convrot")):
            raise ValueError(f"layer {shown(name.removesuffix('.' + _OF_LAYER))} is stored as {shown(str(kind))}")


def _check_scale(name: str, entry: Entry, scale: str, of_scale: Entry) -> None:
    try:
        if of_scale.dtype not in ("F32", "F16", "BF16", "F64"):
            raise ValueError(f"has the type {of_scale.dtype}")
        _blocks(entry.shape, of_scale.shape)
    except ValueError as error:
        raise ValueError(f"the scale {shown(scale)} of tensor {shown(name)} {error}") from error


def _blocks(shape: Shape, scale: Shape) -> tuple[int, ...]:
    """Size of the blocks of a tensor that share a scale, along each axis.

    A row has one block, or equal ones; other blocks are squares with a power of two as side, the last of them cut.

    Raises:
        ValueError: this scale is of no such blocks.
    """
    if prod(scale) == 1:
        return shape
    rows = shape[0]
    if scale in ((rows,), (rows, *(1 for _ in shape[1:]))):
        return (1, *shape[1:])
    if len(shape) == len(scale) == 2:
        if scale[0] == rows and shape[1] % scale[1] == 0:
            return 1, shape[1] // scale[1]
        for side in (1 << n for n in range(1, 20)):
            if tuple(-(-size // side) for size in shape) == scale:
                return side, side
    raise ValueError(f"has the shape {shown(str(scale))}, which is of no blocks of {shown(str(shape))}")


def _scaled(w: Tensor, scale: Tensor) -> Tensor:
    """Both in float32; the product is."""
    shape = tuple(w.shape)
    if scale.numel() == 1:
        return w * scale.reshape(())
    block = _blocks(shape, tuple(scale.shape))
    if block[0] == 1 and (len(shape) != 2 or block[1] == shape[1]):
        return w * scale.reshape(-1, *(1 for _ in shape[1:]))
    for axis, (side, size) in enumerate(zip(block, shape, strict=True)):
        scale = scale.repeat_interleave(side, axis).narrow(axis, 0, size)
    return w * scale


def _is_packing(name: str, entries: Entries) -> bool:
    """Whether this tensor is only there to unpack another, as bitsandbytes' are."""
    layer, found, rest = name.partition(".weight.")
    return bool(found) and f"{layer}.weight" in entries and rest in (*_ROLES, *_STATE)


_ROLES = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")


def _packed(name: str, entries: Entries, state: Mapping[str, Any]) -> Stored:
    shape, size = state.get("shape"), state.get("blocksize")
    if not (
        isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape) and type(size) is int and size > 0
    ):
        raise ValueError(f"tensor {shown(name)} is packed, and its shape or block size is not described")
    values, blocks = prod(shape), -(-prod(shape) // size)
    if entries[name].values * 2 != values + values % 2 or entries[name].dtype not in ("U8", "I8"):
        raise ValueError(f"tensor {shown(name)} does not hold the {values} values of 4 bits that it would have")
    needed = {"quant_map": 16, "absmax": blocks}
    if "nested_blocksize" in state:
        nested = state["nested_blocksize"]
        if type(nested) is not int or nested < 1 or not _is_number(state.get("nested_offset")):
            raise ValueError(f"tensor {shown(name)} is packed, and its nested blocks are not described")
        needed |= {"nested_quant_map": 256, "nested_absmax": -(-blocks // nested)}
    for role, count in needed.items():
        entry = entries.get(f"{name}.{role}")
        if entry is None or entry.values != count:
            raise ValueError(f"tensor {shown(f'{name}.{role}')} is missing or has not {count} values")
    return Stored(name, tuple(shape), state=state)


def _unpacked(what: Stored, read: Read) -> Tensor:
    """In float32; the high half of a byte comes first."""
    state, name = what.state, what.name
    absmax = read(f"{name}.absmax").flatten()
    if "nested_blocksize" in state:
        inner = read(f"{name}.nested_absmax").float().flatten().repeat_interleave(state["nested_blocksize"])
        codes = read(f"{name}.nested_quant_map").float().flatten()[absmax.to(torch.uint8).long()]
        absmax = codes * inner[: len(codes)] + state["nested_offset"]
    packed = read(name).flatten().view(torch.uint8)
    halves = torch.stack([packed >> 4, packed & 15], 1).flatten()[: prod(what.shape)]
    values = read(f"{name}.quant_map").float().flatten()[halves.long()]
    return (values * absmax.float().repeat_interleave(state["blocksize"])[: len(values)]).reshape(what.shape)


def _description(name: str, entries: Entries, read: Read) -> dict[str, Any]:
    """What a tensor of bytes says in JSON."""
    if entries[name].dtype != "U8" or entries[name].values > _MOST_BYTES:
        raise ValueError(f"tensor {shown(name)} is not a description")
    return _json(name, bytes(read(name).flatten().tolist()))


def _json(name: str, text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(name)} is not a description in JSON") from error
    return found


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)
