"""Reading the pickled meta data of DragBench-like sets without unpickling: nothing that a file names is ever called.

`pickletools` only splits a pickle into opcodes. The few that plain values and NumPy arrays need are executed here, on
stand-ins that collect a dtype, a shape and raw bytes. A restricted `pickle.Unpickler` is not safe enough: it crashes
Python on two megabytes of nested tuples used as a key (hashing them overflows the C stack), and one large memo index
makes it allocate gigabytes.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragflow.core.errors import UserError

MAX_BYTES = 32 * 2**20
"""A larger file is refused; published ones have a quarter of a megabyte."""
MAX_VALUES = 4_000_000
"""Values in total: a small file may contain one list a million times."""
_DEPTH = 2
"""Depth of nested lists: points are pairs in a list."""

Plain = str | int | float | list["Plain"] | NDArray[np.generic]

_ITEM_BYTES = {code: int(code[1:]) for code in ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]}
_GLOBALS = {
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
    **{
        f"numpy.{core}.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (
            ("multiarray._reconstruct", "empty"),
            ("multiarray.scalar", "scalar"),
            ("numeric._frombuffer", "buffer"),
        )
    },
}
_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_FRAMING = frozenset(("PROTO", "FRAME", "STOP"))
_MARK = object()


@dataclass(frozen=True)
class _Name:
    """A global that the file names and that is allowed."""

    stand_in: str
    """One of the values of _GLOBALS."""


@dataclass
class _Type:
    """What the file says about a NumPy dtype."""

    code: str
    order: str = "|"


@dataclass
class _Array:
    """What the file says about a NumPy array or number; not checked before `_numbers`."""

    shape: object = None
    type: object = None
    raw: object = None
    order: object = "C"


def read_pickle(path: Path) -> dict[str, Plain]:
    """The dictionary in a pickle: strings, numbers, lists (also for tuples) and arrays of numbers.

    Raises:
        UserError: too large, damaged, or with anything else in it, which the text names.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{path} is over the limit of {MAX_BYTES // 2**20} MiB: meta data are far smaller")
    try:
        return _dictionary(_run(data))
    except _RefusedError as error:
        raise UserError(f"{path} {error}: only a dictionary of text, numbers and arrays of numbers is read") from error
    except (ValueError, TypeError, IndexError, KeyError) as error:  # whatever broken opcodes lead to here
        raise UserError(f"{path} is damaged or not a pickle ({error}): copy it again") from error


class _RefusedError(Exception):
    """The file is well-formed, but has something that meta data do not need."""


def _run(data: bytes) -> object:
    """Execute a pickle on stand-ins; gives the object that it ends with."""
    stack: list[object] = []
    # A dictionary, not the array of CPython's unpickler: no file can reserve memory by a large index. It holds
    # references, so that a later BUILD or APPEND completes the same object wherever it was put.
    memo: dict[int, object] = {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _LITERALS:
            stack.append(argument)
        elif opcode.name in _CONSTANTS:
            stack.append(_CONSTANTS[opcode.name])
        elif opcode.name in _PUTS:
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif opcode.name in _GETS:
            stack.append(memo[int(argument)])  # pyright: ignore[reportArgumentType]
        elif opcode.name not in _FRAMING:
            _step(opcode.name, argument, stack)
    return stack.pop()


def _step(opcode: str, argument: object, stack: list[object]) -> None:
    """Execute an opcode that builds something."""
    match opcode:
        case "MARK":
            stack.append(_MARK)
        case "EMPTY_LIST":
            stack.append([])
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
            items = [stack.pop() for _ in range(int(opcode[-1]) if opcode != "EMPTY_TUPLE" else 0)]
            stack.append(tuple(reversed(items)))
        case "LIST":
            stack.append(_since_mark(stack))
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case "DICT":
            items = _since_mark(stack)
            stack.append({})
            _set(stack[-1], items)
        case "APPEND" | "APPENDS":
            items = [stack.pop()] if opcode == "APPEND" else _since_mark(stack)
            _as_list(stack[-1]).extend(items)
        case "SETITEM" | "SETITEMS":
            items = [stack.pop(), stack.pop()][::-1] if opcode == "SETITEM" else _since_mark(stack)
            _set(stack[-1], items)
        case "GLOBAL":
            stack.append(_name(str(argument).replace(" ", ".", 1)))
        case "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_name(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "?"))
        case "REDUCE":
            arguments, name = stack.pop(), stack.pop()
            stack.append(_stand_in(name, arguments))
        case "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        case _:
            raise _RefusedError(f"uses {opcode}{f' {argument}'[:80] if argument is not None else ''}")


def _since_mark(stack: list[object]) -> list[object]:
    items: list[object] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _as_list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("an item is added to something other than a list")
    return value


def _set(target: object, items: list[object]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("a key is set in something other than a dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):  # only text is hashed: nested tuples would overflow the C stack
            raise _RefusedError(f"has a key that is not text but {_kind(key)}")
        target[key] = value


def _name(dotted: str) -> _Name:
    if dotted not in _GLOBALS:
        raise _RefusedError(f"names {dotted[:80]}, which is not allowed")
    return _Name(_GLOBALS[dotted])


def _stand_in(name: object, arguments: object) -> object:
    """What takes the place of a call's result."""
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise TypeError("something other than a function is called")
    match name.stand_in, arguments:
        case "encode", (str(text), "latin1"):  # how protocols before 3, which have no bytes, spell the raw data
            return text.encode("latin1")
        case "dtype", (str(code), *_):
            if code not in _ITEM_BYTES:
                raise _RefusedError(f"has an array of type {code[:20]!r}")
            return _Type(code)
        case "empty", (_Name("ndarray"), *_):
            return _Array()
        case "scalar", (kind, raw):
            return _Array((), kind, raw)
        case "buffer", (raw, kind, shape, order):
            return _Array(shape, kind, raw, order)
        case _:
            raise _RefusedError(f"calls {name.stand_in} in a way that no array needs")


def _build(target: object, state: object) -> None:
    """Complete a type or an array."""
    match target, state:
        case _Type(), (int(), ("<" | ">" | "|" | "=") as order, None, None, None, *_):
            target.order = order
        case _Array(), (int(), shape, kind, fortran, raw):
            target.shape, target.type, target.raw, target.order = shape, kind, raw, "F" if fortran else "C"
        case _:
            raise _RefusedError(f"gives a state to {_kind(target)}")


def _dictionary(value: object) -> dict[str, Plain]:
    if not isinstance(value, dict):
        raise _RefusedError(f"holds {_kind(value)}")
    counter = count()
    return {key: _plain(each, _DEPTH, counter) for key, each in value.items()}


def _plain(value: object, depth: int, counter: Iterator[int]) -> Plain:
    """The value checked and copied; lists that contain themselves or each other end at the depth and the count."""
    if next(counter) > MAX_VALUES:
        raise _RefusedError(f"holds more than {MAX_VALUES} values")
    if isinstance(value, _Array):
        return _numbers(value)
    if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, list | tuple) and depth:
        return [_plain(each, depth - 1, counter) for each in value]
    raise _RefusedError(f"holds {_kind(value)}")


def _numbers(array: _Array) -> Plain:
    """The array, or the number if the shape is empty."""
    kind, raw, shape = array.type, array.raw, array.shape
    if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray) or not isinstance(shape, tuple):
        raise _RefusedError("has an array that is not made of numbers")
    if not all(type(side) is int and side >= 0 for side in shape) or array.order not in ("C", "F"):
        raise ValueError(f"shape {shape}"[:80])
    if math.prod(shape) * _ITEM_BYTES[kind.code] != len(raw):
        raise ValueError(f"an array {shape} of {kind.code} has {len(raw)} bytes")
    # As a view, bytes other than 0 and 1 would be invalid bools: they are compared as numbers.
    flat = np.frombuffer(raw, np.uint8) != 0 if kind.code == "b1" else np.frombuffer(raw, kind.order + kind.code)
    values = flat.reshape(shape, order=array.order)
    return values if shape else values.item()


def _kind(value: object) -> str:
    return "an array" if isinstance(value, _Array) else f"a {type(value).__name__.strip('_').lower()}"
