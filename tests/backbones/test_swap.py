"""Blocks that rest in main memory until it is their turn."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.swap import blocks_of, is_swapped, move, swap_blocks
from small_flux import TIME, latent, load

CPU = torch.device("cpu")


def gradient(model: Any) -> Tensor:
    z = latent().requires_grad_(True)
    found = model.features(z, TIME, model.condition("a cat", guidance=3.5), taps=model.spec.taps)
    return torch.autograd.grad(torch.stack([f.square().mean() for f in found]).sum(), z)[0]


@pytest.mark.parametrize("quantize", [None, "int8", "nf4"])
def test_gradients_are_those_of_blocks_that_stay(dummy_folder: Path, quantize: str | None) -> None:
    if quantize is not None:
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    model = load(dummy_folder, checkpointing=True, quantize=quantize)
    cond = model.condition("a cat", guidance=3.5)
    v, g = model.velocity(latent(), TIME, cond), gradient(model)
    weights = [x.data_ptr() for x in model.transformer.parameters() if type(x.data) is Tensor]
    swap_blocks(model.transformer, CPU)
    swap_blocks(model.transformer, CPU)  # once is enough
    copies, most = list[weakref.ref[Tensor]](), 0

    def count(block: Any, *_: Any) -> None:
        nonlocal most
        copies.append(weakref.ref(block.attn.to_k.weight))
        most = max(most, sum(copy() is not None for copy in copies))

    for block in blocks_of(model.transformer):
        block.register_forward_pre_hook(count)
    assert torch.equal(model.velocity(latent(), TIME, cond), v)
    assert torch.equal(gradient(model), g)
    assert len(copies) == 9 + 3 + 3  # a call, a truncated one, and its blocks computed again
    if quantize is None:
        assert most == 1
        assert not any(copy() is not None for copy in copies)  # the backward pass has let go of them, too
    assert weights == [x.data_ptr() for x in model.transformer.parameters() if type(x.data) is Tensor]


def test_a_block_that_fails_gets_its_weights_back(dummy_folder: Path) -> None:
    model = load(dummy_folder)
    block: Any = next(blocks_of(model.transformer))
    own = block.attn.to_k.weight
    swap_blocks(model.transformer, CPU)
    with pytest.raises(TypeError):
        block()
    assert block.attn.to_k.weight is own


def test_only_what_is_no_block_moves(dummy_folder: Path) -> None:
    transformer = load(dummy_folder).transformer
    assert not is_swapped(transformer)
    swap_blocks(transformer, CPU)
    move(transformer, "meta")
    assert all(x.device == CPU for block in blocks_of(transformer) for x in block.parameters())
    assert {x.device.type for x in transformer.x_embedder.parameters()} == {"meta"}
