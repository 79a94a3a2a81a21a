"""What every loader of a model shares: the device it goes to, parts that are whole, errors that name a broken part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError

from dragflow.core.errors import UserError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | None) -> torch.device:
    """The device of this name; when None, a GPU if there is one.

    Raises:
        UserError: it is not to be had.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} is not to be had here: use cpu, or see `dragflow doctor`") from error
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


@contextmanager
def part_of(model: str, part: str) -> Iterator[None]:
    """Say which part of a model could not be loaded; weights are read from safetensors only, never from pickles.

    Raises:
        UserError: instead of what the library raised.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"model {model}: its {part} cannot be loaded ({error}): download or export the model again, as safetensors"
        ) from error


def load_part(cls: Any, model: str, part: str, device: torch.device, **where: Any) -> Any:
    """A network of a model, every weight of it from its file, on a device and ready to be used.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    return read_part(cls, model, part, **where).to(device).eval().requires_grad_(False)


def read_part(cls: Any, model: str, part: str, **where: Any) -> Any:
    """A network of a model as the library gives it, every weight of it from its file.

    The libraries only warn when weights are missing, and draw them at random or leave them without values.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    with part_of(model, part):
        network, info = cls.from_pretrained(model, use_safetensors=True, output_loading_info=True, **where)
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"model {model}: its {part} has no {missing[0]} ({len(missing)} tensors are missing): "
            f"a {cls.__name__} is needed"
        )
    return network
