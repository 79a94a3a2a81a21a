"""What LoRAs of each kind add to a layer: LoRA (arXiv 2106.09685), LoHa and LoKr (2309.14859), whole differences.

Each is a pair of modules that the layer's input runs through, so the layer's own weight stays as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Rows = Callable[[Tensor], Tensor]
"""Of a tensor whose first axis is the output of a layer in a file, the part of one layer of the model."""

_BESIDE = frozenset({"alpha", "magnitude", "diff_b"})
"""What layers of any kind may have beside their factors."""
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_FIRST, _SECOND = ((f"lokr_w{i}", f"lokr_w{i}_a", f"lokr_w{i}_b") for i in (1, 2))
"""Both factors of a Kronecker product: whole, or as a product of two."""
_KINDS = {
    "LoRA": ((frozenset({"down", "up"}),), _BESIDE | {"down_bias", "up_bias"}),
    "LoHa": ((frozenset(_LOHA),), _BESIDE),
    "LoKr": (tuple(frozenset(a + b) for a in (_FIRST[:1], _FIRST[1:]) for b in (_SECOND[:1], _SECOND[1:])), _BESIDE),
    "difference": ((frozenset({"diff"}), frozenset({"diff_b"})), _BESIDE - {"alpha"}),
}
"""Sets of tensors, by their roles, of which a layer of a kind has one, and what it may have beside."""


@dataclass(frozen=True)
class Addition:
    """What a LoRA adds to the output of a layer: scale * up(down(input))."""

    down: nn.Module
    """Its `weight` is of the type that the input is cast to."""
    up: nn.Module
    scale: float = 1.0

    def weight(self, inputs: Tensor) -> Tensor:
        """Columns of the difference of weights, for so many unit vectors as rows; without biases."""
        return self.scale * (self.up(self.down(inputs)) - self.up(self.down(torch.zeros_like(inputs[:1])))).T


def has_factors(roles: Collection[str]) -> bool:
    """Whether these tensors have products in them, which only linear layers and convolutions have."""
    return not _BESIDE | {"diff"} >= set(roles)


def kind_of(roles: set[str]) -> str | None:
    """The kind of a layer that has these tensors; None if they are incomplete, or of several kinds."""
    for kind, (needed, beside) in _KINDS.items():
        if any(each <= roles <= each | beside for each in needed):
            return kind
    return None


def misshapen(kind: str, shapes: Mapping[str, Shape], out: int, inputs: int) -> list[tuple[str, Shape, Shape]]:
    """Which tensors do not fit a layer: role, shape, and the shape that is needed.

    Args:
        kind: of the layer in the file.
        shapes: of its tensors, by their roles.
        out: outputs of the layer in the model.
        inputs: its inputs.
    """
    held = {role: plain(shape) for role, shape in shapes.items()}
    needed: dict[str, Shape] = {"up_bias": (out,), "diff_b": (out,), "diff": (out, inputs), "magnitude": (out,)}
    if held.get("magnitude") in ((out, 1), (1, inputs)):
        needed["magnitude"] = held["magnitude"]
    if kind == "LoRA":
        rank = _rank(held["down"])
        needed |= {"down": (rank, inputs), "up": (out, rank), "down_bias": (rank,)}
    elif kind == "LoHa":
        for left, right in (_LOHA[:2], _LOHA[2:]):
            needed |= {left: (out, _rank(held[right])), right: (_rank(held[right]), inputs)}
    elif kind == "LoKr":
        needed |= _kronecker(held, out, inputs)
    needed["alpha"] = (1,) if held.get("alpha") == (1,) else ()
    return [(role, shapes[role], needed[role]) for role in held if held[role] != needed[role]]


def _kronecker(held: Mapping[str, Shape], out: int, inputs: int) -> dict[str, Shape]:
    """The first factor may be of any size that divides the layer's; the second is the rest."""
    whole, left, right = _FIRST
    rows = gcd((*held.get(whole, held.get(left, ())), 1)[0], out)
    columns = gcd((1, *held.get(whole, held.get(right, ())))[-1], inputs)
    needed: dict[str, Shape] = {}
    for (whole, left, right), size in ((_FIRST, (rows, columns)), (_SECOND, (out // rows, inputs // columns))):
        rank = _rank(held.get(right, ()))
        needed |= {whole: size, left: (size[0], rank), right: (rank, size[1])}
    return needed


def plain(shape: Shape) -> Shape:
    """A shape without the axes of a kernel of 1 x 1."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _rank(right: Shape) -> int:
    return max(1, right[0]) if right else 1


def rank_of(shapes: Mapping[str, Shape]) -> int | None:
    """The rank that alpha is divided by; None if nothing is a product of low rank, and alpha has no effect."""
    return next((shapes[role][0] for role in ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b") if role in shapes), None)


def addition(kind: str, tensors: Mapping[str, Tensor], rows: Rows, inputs: int, scale: float) -> Addition:
    """What a layer of a file adds to one layer of the model.

    Args:
        kind: of the layer.
        tensors: of it, by their roles, in float32 and of the right shapes.
        rows: which of its outputs are meant.
        inputs: how many the layer has.
        scale: alpha / rank.
    """
    bias = rows(tensors["diff_b"]) if "diff_b" in tensors else None
    if kind == "difference":
        if "diff" in tensors:
            return Addition(_linear(rows(tensors["diff"]), bias), nn.Identity())
        only = rows(tensors["diff_b"])  # a file whose layers are differences has one of the two
        return Addition(_linear(torch.zeros(1, inputs)), _linear(torch.zeros(len(only), 1), only))
    inner, outer = (scale, 1.0) if {"diff_b", "magnitude"} & tensors.keys() else (1.0, scale)  # neither is scaled
    if kind == "LoKr":
        first, second = (_factor(tensors, *names) for names in (_FIRST, _SECOND))
        return Addition(_Inner(second, first.shape[1]), _Outer(first * inner, rows, bias), outer)
    down, up = _hadamard(tensors) if kind == "LoHa" else (tensors["down"], tensors["up"])
    if "up_bias" in tensors:
        own = rows(tensors["up_bias"]) * inner
        bias = own if bias is None else own + bias
    return Addition(_linear(down, tensors.get("down_bias")), _linear(rows(up) * inner, bias), outer)


def _hadamard(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both factors of (A B) * (C D): their columns, and their rows, are all products of those of two."""
    a, b, c, d = (tensors[role] for role in _LOHA)
    return torch.einsum("ri,si->rsi", b, d).flatten(0, 1), torch.einsum("or,os->ors", a, c).flatten(1)


def _factor(tensors: Mapping[str, Tensor], whole: str, left: str, right: str) -> Tensor:
    return tensors[whole] if whole in tensors else tensors[left] @ tensors[right]


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made


class _Inner(nn.Module):
    """The second factor of a Kronecker product, applied to each of as many parts as the first has columns."""

    def __init__(self, factor: Tensor, parts: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(factor, requires_grad=False)
        self._parts = parts

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self._parts, -1)) @ self.weight.T


class _Outer(nn.Module):
    """The first factor, applied across the parts; gives some rows of the whole product."""

    def __init__(self, factor: Tensor, rows: Rows, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(factor, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self._rows = rows

    def forward(self, parts: Tensor) -> Tensor:
        whole = (self.weight @ parts).flatten(-2)
        out = self._rows(whole.movedim(-1, 0)).movedim(0, -1)
        return out if self.bias is None else out + self.bias
