"""Digests of values: equal ones give equal bytes, and of a mask only its pixels count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import numpy as np

from dragflow.core.task import MaskArray


def digest(*values: object) -> str:
    """The SHA-256 of arrays, dataclasses, tuples and plain values."""
    found = hashlib.sha256()
    for part in _parts(values):
        found.update(len(part).to_bytes(8))
        found.update(part)
    return found.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    """A value taken apart."""
    if isinstance(value, MaskArray):
        yield from _parts(value.array)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif is_dataclass(value):
        yield type(value).__name__.encode()
        yield from _parts(tuple(getattr(value, field.name) for field in fields(value)))
    elif isinstance(value, tuple):
        yield str(len(value)).encode()
        for each in value:
            yield from _parts(each)
    else:
        yield repr(value).encode()
