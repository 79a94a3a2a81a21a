"""Reading an adapter's checkpoint: no pickle runs code, and every tensor is accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragflow.backbones.tensors import compare, reason, shown
from dragflow.core.errors import UserError

PROJECTOR, ATTENTIONS = "image_proj", "ip_adapter"
"""The two parts of a checkpoint; in safetensors they are prefixes of the names."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by their full names, as in "image_proj.norm.weight", on the CPU.

    Args:
        path: .safetensors, or a .bin that torch can read with `weights_only=True`.

    Raises:
        UserError: the file is unreadable, is a pickle of more than tensors, or contains none.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            parts: Any = load_file(path)
        else:
            parts = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch believes what the file says, and fails in any way
        raise UserError(
            f"`subject.weights` {path}: not a readable file of tensors only ({reason(error)}); download it again"
        ) from error
    tensors: dict[str, Tensor] = {}
    for part, entries in parts.items() if isinstance(parts, dict) else ():
        for name, x in entries.items() if isinstance(entries, dict) else ((None, entries),):
            tensors[str(part) if name is None else f"{part}.{name}"] = x
    others = [name for name, x in tensors.items() if not (isinstance(x, Tensor) and x.is_floating_point())]
    if others or not tensors:
        problem = f"{shown(others[0])} is not a tensor of weights" if others else "it contains no tensors"
        raise UserError(f"`subject.weights` {path}: {problem}; give the adapter's checkpoint")
    return tensors


def shape_of(path: Path, tensors: Mapping[str, Tensor], name: str, axes: int, wanted: str) -> tuple[int, ...]:
    """The shape of one tensor, from which sizes are told.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of the checkpoint's.
        name: of the tensor.
        axes: how many it must have.
        wanted: what to give in its place, as in "a checkpoint of InstantCharacter".

    Raises:
        UserError: there is no such tensor.
    """
    if name not in tensors:
        problem = f"tensor {name} is missing"
    elif tensors[name].ndim != axes:
        problem = f"tensor {name} has shape {tuple(tensors[name].shape)} instead of one with {axes} axes"
    else:
        return tuple(tensors[name].shape)
    raise UserError(f"`subject.weights` {path}: {problem}; give {wanted}")


def layer_count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many different layers there are of names such as PREFIX.3.weight."""
    return len({name.removeprefix(f"{prefix}.").split(".")[0] for name in tensors if name.startswith(f"{prefix}.")})


def check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that a checkpoint has the expected tensors in the expected shapes, and no others.

    Raises:
        UserError: names the first that is missing, unexpected or of another shape.
    """
    account = compare({name: tuple(x.shape) for name, x in tensors.items()}, expected)
    if str(account):
        raise UserError(
            f"`subject.weights` {path}: made for another model: {account}; give the checkpoint that was trained for "
            "this model"
        )
