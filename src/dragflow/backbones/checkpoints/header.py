"""The header of a file of tensors: names, shapes and types, checked against the file's size; no weights are read."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from dragflow.backbones.tensors import Entry, reason, shown
from dragflow.core.errors import UserError
from dragflow.core.extras import extra

SAFETENSORS, GGUF = (".safetensors", ".sft"), (".gguf",)
_PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_MOST_BYTES = 100_000_000
"""Of a header, as safetensors itself has it."""
_LENGTH = 8
"""Bytes that say how long the header is."""
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    "F4": 4,
}


class Header(NamedTuple):
    """What a file says of itself."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """All tensors of a file, by its header alone.

    Raises:
        UserError: it is of no kind that is read, or its header and its size do not fit each other; names the tensor.
        CapabilityError: it is a GGUF file, and the library for these is missing.
    """
    kind = path.suffix.lower()
    if kind in _PICKLES:
        raise UserError(f"file {path} is a pickle, which could run any program: use the model's .safetensors file")
    if kind not in SAFETENSORS + GGUF:
        raise UserError(f"file {path} is not a model: name a .safetensors or .gguf file")
    if not path.is_file():
        raise UserError(f"file {path} does not exist: check the path")
    try:
        if kind in GGUF:
            with extra("quant", "a GGUF file"):
                import gguf  # noqa: F401
            from dragflow.backbones.gguf_file import read_header as read_gguf

            return Header(read_gguf(path), {})
        return _safetensors(path)
    except UserError:
        raise
    except Exception as error:  # gguf believes what a header says, and fails in any way
        raise UserError(f"file {path} is damaged ({reason(error)}): download or save it again") from error


def _safetensors(path: Path) -> Header:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if size < _LENGTH or length > min(size - _LENGTH, _MOST_BYTES):
            raise ValueError(f"its header would have {length} bytes, and the file has {size}")
        found = json.loads(file.read(length), object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise ValueError("its header is not a JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not texts")
    if not found:
        raise ValueError("it holds no tensors")
    places = {name: _place(name, facts) for name, facts in found.items()}
    _check_places({name: place for name, (_, place) in places.items()}, size - _LENGTH - length)
    return Header({name: entry for name, (entry, _) in places.items()}, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object each of whose names is there once; other readers take the last in silence."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {shown(name)} twice")
        found[name] = value
    return found


def _place(name: str, facts: Any) -> tuple[Entry, tuple[int, int]]:
    """A tensor, and where its bytes begin and end after the header."""
    try:
        dtype, shape, (begin, end) = facts["dtype"], tuple(facts["shape"]), facts["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"its header does not describe tensor {shown(name)}") from error
    numbers = (*shape, begin, end)
    if not isinstance(dtype, str) or not all(type(x) is int and x >= 0 for x in numbers):
        raise ValueError(f"its header does not describe tensor {shown(name)}")
    if dtype not in _BITS:
        raise ValueError(f"tensor {shown(name)} has the type {shown(dtype)}, which is not known")
    needed = prod(shape) * _BITS[dtype]
    if needed != 8 * (end - begin):
        raise ValueError(
            f"tensor {shown(name)} of shape {shown(str(shape))} and type {dtype} needs {needed // 8} bytes, and its "
            f"header gives it {end - begin}"
        )
    return Entry(shape, dtype), (begin, end)


def _check_places(places: dict[str, tuple[int, int]], size: int) -> None:
    """Check that tensors follow each other without gap or overlap, up to the end of the file."""
    last = 0
    for name, (begin, end) in sorted(places.items(), key=lambda item: item[1]):
        if begin != last:
            raise ValueError(f"tensor {shown(name)} begins at byte {begin} instead of {last}")
        if end > size:
            raise ValueError(f"the file ends within tensor {shown(name)}: it is cut short")
        last = end
    if last != size:
        raise ValueError(f"{size - last} bytes follow the last tensor")
