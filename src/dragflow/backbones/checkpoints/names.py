"""Which tensors of a network those of a file become: names of the model's authors, and rows of joined layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dragflow.backbones.lora_names import Stacked
from dragflow.backbones.tensors import Account, Shape, is_computed

_BESIDE = ("logit_scale", "spiece_model", "tekken_model", "__index_timestep_zero__")
"""Last part of the names of what files hold beside weights: a constant of CLIP, tokenizers, a mark of ComfyUI's."""


class UnfitError(ValueError):
    """The tensors of a file are not those of a network."""

    def __init__(self, account: Account) -> None:
        super().__init__(str(account))
        self.account = account


def is_beside(name: str) -> bool:
    """Whether this names something that a file holds beside the weights of a network."""
    return name.rpartition(".")[2] in _BESIDE


@dataclass(frozen=True)
class Naming:
    """What the authors of a model call the parts of a network; "{}" is the number of a block."""

    layers: Mapping[str, Stacked] = field(default_factory=dict[str, Stacked])
    """Layers with a weight and perhaps a bias, to those of the network."""
    tensors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Whole names of other tensors."""
    unused: tuple[str, ...] = ()
    """Whole names of tensors that the authors' files hold, and that nothing is computed with."""
    rename: Callable[[str], str] | None = None
    """Gives the network's name of a tensor, where that follows a rule."""

    def targets(self, name: str) -> tuple[tuple[str, ...], bool] | None:
        """The tensors that one of a file holds, one after the other, and whether its halves may be swapped."""
        if self.rename is not None:
            return (self.rename(name),), False
        pattern = re.sub(r"^([a-z_]+)\.(\d+)\.", r"\1.{}.", name)
        number = name.split(".")[1] if pattern != name else ""
        if pattern in self.tensors:
            return (self.tensors[pattern].replace("{}", number),), False
        layer, _, end = pattern.rpartition(".")
        if layer not in self.layers:
            return None
        stacked = self.layers[layer]
        return tuple(f"{each.replace('{}', number)}.{end}" for each in stacked.layers), stacked.swapped


@dataclass(frozen=True)
class Rows:
    """Where a tensor of a network is in a file."""

    source: str
    first: int = 0
    count: int | None = None
    """None: the whole."""
    swapped: bool = False
    """Whether the halves change places."""
    is_kernel: bool = False
    """Whether the source is a convolution by 1 x 1, and the target is a matrix."""

    def of(self, x: Tensor) -> Tensor:
        """These rows of the source."""
        if self.swapped:
            first, second = x.chunk(2)
            return torch.cat([second, first])
        x = x[:, :, 0, 0] if self.is_kernel else x
        return x if self.count is None else x[self.first : self.first + self.count]


def plan(held: Mapping[str, Shape], needed: Mapping[str, Shape], naming: Naming) -> dict[str, Rows]:
    """Where every tensor of a network is among those of a file.

    Args:
        held: tensors of the file, in the network's own naming or its authors'.
        needed: tensors of the network.
        naming: of its authors.

    Raises:
        UnfitError: a tensor is missing, surplus or misshapen; names it as the network does, or as the file does.
    """
    found: dict[str, Rows] = {}
    surplus: list[str] = []
    misshapen: list[tuple[str, Shape, Shape]] = []
    for name, shape in held.items():
        if is_beside(name) or name in naming.unused:
            continue
        targets, swapped = ((name,), False) if name in needed else naming.targets(name) or ((), False)
        if not targets or not all(target in needed for target in targets) or any(target in found for target in targets):
            surplus.append(name)
            continue
        matrix = held.get(f"{name.rpartition('.')[0]}.weight", ())
        swapped = swapped and len(matrix) == 2 and matrix[0] == 2 * matrix[1]  # see `Stacked`
        shapes = [needed[target] for target in targets]
        whole = (sum(each[0] for each in shapes), *shapes[0][1:]) if len(shapes) > 1 else shapes[0]
        is_kernel = len(whole) == 2 and shape == (*whole, 1, 1)
        if shape != whole and not is_kernel:
            misshapen.append((name, shape, whole))
        first = 0
        for target, (count, *_) in zip(targets, (each or (0,) for each in shapes), strict=True):
            found[target] = Rows(name, first, count if len(targets) > 1 else None, swapped, is_kernel)
            first += count
    missing = tuple(name for name in needed if name not in found and not is_computed(name))
    account = Account(missing, tuple(name for name in surplus if not is_computed(name)), tuple(misshapen))
    if account.faults:
        raise UnfitError(account)
    return found
