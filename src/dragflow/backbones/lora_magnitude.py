"""DoRA (arXiv 2402.09353): a weight and its difference, rescaled so that each row, or column, has a length of its own.

W' = m (W + D) / |W + D|, where the lengths are those of rows, as peft and LyCORIS have them, or of columns, as in files
of OneTrainer. A LoRA of strength s gives W + s (W' - W). The lengths are computed once, since neither W nor D changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.lora_kinds import Addition, Rows

_COLUMNS = 1024
"""Of a weight that are looked at together."""


class Magnitude(nn.Module):
    """What the outputs of a layer with its difference, or its inputs, are multiplied by; less one, in float32."""

    def __init__(self, factor: Tensor, *, of_inputs: bool) -> None:
        """Hold a factor for each output, or for each input."""
        super().__init__()
        self.excess = nn.Parameter(factor - 1, requires_grad=False)
        self.of_inputs = of_inputs


class Rescaled:
    """What peft asks for the output of a layer with a magnitude, as its own `LoraVariant`."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The result so far, and what this adapter adds to it."""
        base, magnitude = module.get_base_layer(), module.lora_magnitude_vector[active_adapter]
        down, up = module.lora_A[active_adapter], module.lora_B[active_adapter]
        excess = magnitude.excess
        if magnitude.of_inputs:
            added = _without_bias(base, (x * excess).to(x.dtype)) + up(down((x + x * excess).to(x.dtype)))
        else:
            difference = up(down(x))
            added = excess * (_without_bias(base, x) + difference) + difference
        return result + added * module.scaling[active_adapter]


def _without_bias(layer: Any, x: Tensor) -> Tensor:
    out = layer(x)
    return out if layer.bias is None else out - layer.bias.to(out.dtype)  # which may be stored in 8 bits


def magnitudes(
    lengths: Tensor, layers: Sequence[nn.Linear], additions: Sequence[Addition], rows: Sequence[Rows]
) -> list[Magnitude]:
    """The magnitudes of the layers of the model that are one layer of a file.

    Args:
        lengths: m; one row if they are those of columns.
        layers: of the model.
        additions: to these, on the same device, in float32.
        rows: of the file's layer, for each.
    """
    squares = [_squares(layer, added) for layer, added in zip(layers, additions, strict=True)]
    if lengths.ndim == 2 and lengths.shape[0] == 1:
        total = torch.stack([columns for _, columns in squares]).sum(dim=0)
        return [Magnitude(_ratio(lengths[0], total), of_inputs=True)] * len(layers)
    return [
        Magnitude(_ratio(part(lengths.flatten()), square), of_inputs=False)
        for part, (square, _) in zip(rows, squares, strict=True)
    ]


def _ratio(lengths: Tensor, squares: Tensor) -> Tensor:
    return lengths / squares.sqrt().clamp_min(torch.finfo(torch.float32).eps)


def _squares(layer: nn.Linear, added: Addition) -> tuple[Tensor, Tensor]:
    """Squared lengths of the rows of a layer's weight with its difference, and of the columns."""
    weight = _dense(layer.weight)
    rows, columns = weight.new_zeros(weight.shape[0]), weight.new_zeros(weight.shape[1])
    for first in range(0, weight.shape[1], _COLUMNS):
        some = slice(first, min(first + _COLUMNS, weight.shape[1]))
        units = weight.new_zeros(some.stop - first, weight.shape[1])
        units[:, some].fill_diagonal_(1)
        merged = (weight[:, some] + added.weight(units)).square()
        rows += merged.sum(dim=1)
        columns[some] = merged.sum(dim=0)
    return rows, columns


def _dense(weight: Any) -> Tensor:
    """A weight in float32, whatever form of fewer bits it is stored in."""
    if hasattr(weight, "quant_type"):  # a parameter of diffusers from a GGUF file
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        return dequantize_gguf_tensor(weight).as_subclass(Tensor).float()
    if hasattr(weight, "get_original_weight"):  # torchao's nf4
        return weight.get_original_weight().float()
    return weight.detach().dequantize().float()
