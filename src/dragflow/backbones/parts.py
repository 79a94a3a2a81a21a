"""What every loader of a model shares: the device it goes to, and errors that name the part that is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

from dragflow.core.errors import UserError


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
