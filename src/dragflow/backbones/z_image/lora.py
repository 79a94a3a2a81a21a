"""What the authors of Z-Image call the layers of its transformer, where diffusers calls them otherwise."""

from __future__ import annotations

from dragflow.backbones.lora_names import Stacked

_BLOCKS = ("layers.{}", "noise_refiner.{}", "context_refiner.{}")
_PATCH = "2-1"
"""Which of several patch sizes, of space and time, published models have; diffusers says it in names."""

LAYERS = {
    **{f"{block}.attention.qkv": Stacked(tuple(f"{block}.attention.to_{x}" for x in "qkv")) for block in _BLOCKS},
    **{f"{block}.attention.out": Stacked.of(f"{block}.attention.to_out.0") for block in _BLOCKS},
    "x_embedder": Stacked.of(f"all_x_embedder.{_PATCH}"),
    "final_layer.linear": Stacked.of(f"all_final_layer.{_PATCH}.linear"),
    "final_layer.adaLN_modulation.1": Stacked.of(f"all_final_layer.{_PATCH}.adaLN_modulation.1"),
}
"""The authors' name of a layer to those of diffusers."""
