"""LoRAs of every kind on weights that are stored in 8 or 4 bits: these stay, and what they stand for changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dragflow.backbones.lora import attach_loras
from dragflow.method.backbone import Backbone
from gguf_files import write_gguf
from small_flux import TIME, error, latent, load

LAYER = "transformer_blocks.1.attn.to_k"
WIDTH, RANK = 64, 4


@pytest.fixture(scope="module", params=["int8", "fp8", "layerwise-fp8", "nf4", "gguf"])
def quantised(request: pytest.FixtureRequest, dummy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model whose weights are stored in 8 bits."""
    quantize = request.param
    if quantize == "gguf":
        pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")
        tensors = load_file(dummy_folder / "transformer" / "diffusion_pytorch_model.safetensors")
        quantize = write_gguf(tmp_path_factory.mktemp("gguf") / "flux-q8_0.gguf", tensors)
    elif quantize in ("int8", "fp8", "nf4"):
        pytest.importorskip("torchao", reason="torchao is not installed (extra: quant)")
    return load(dummy_folder, quantize=quantize)


def dora(own: Tensor, tensors: dict[str, Tensor], axis: int) -> dict[str, Tensor]:
    return tensors | {"dora_scale": 1.1 * own.norm(dim=axis, keepdim=True)}


KINDS: dict[str, Callable[[Tensor, dict[str, Tensor]], dict[str, Tensor]]] = {
    "lora": lambda _, tensors: tensors,
    "dora": lambda own, tensors: dora(own, tensors, 1),
    "dora of columns": lambda own, tensors: dora(own, tensors, 0),
    "loha": lambda _, tensors: {
        **{f"hada_w{i}_a": tensors["lora_up.weight"] for i in (1, 2)},
        **{f"hada_w{i}_b": tensors["lora_down.weight"] for i in (1, 2)},
    },
    "lokr": lambda *_: {"lokr_w1": torch.randn(4, 8) / 4, "lokr_w2": torch.randn(WIDTH // 4, WIDTH // 8) / 4},
    "difference": lambda *_: {"diff": torch.randn(WIDTH, WIDTH) / 8},
}


def changed_by(own: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    """The dense weight, by the definition of each kind."""
    if "diff" in tensors:
        return own + tensors["diff"]
    if "hada_w1_a" in tensors:
        return own + (tensors["hada_w1_a"] @ tensors["hada_w1_b"]) * (tensors["hada_w2_a"] @ tensors["hada_w2_b"])
    if "lokr_w1" in tensors:
        return own + torch.kron(tensors["lokr_w1"], tensors["lokr_w2"])
    merged = own + tensors["lora_up.weight"] @ tensors["lora_down.weight"]
    lengths = tensors.get("dora_scale")
    return merged if lengths is None else lengths * merged / merged.norm(dim=int(lengths.shape[0] > 1), keepdim=True)


def velocity(model: Backbone) -> Tensor:
    return model.velocity(latent(), TIME, model.condition("a cat", guidance=3.5))


def weight(layer: Any) -> Tensor:
    """What a layer does to unit vectors."""
    return (layer(torch.eye(WIDTH)) - layer(torch.zeros(1, WIDTH))).T


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_as_the_kind_says(kind: str, quantised: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before, own = velocity(quantised), weight(quantised.transformer.get_submodule(LAYER))
    factors = {"lora_down.weight": torch.randn(RANK, WIDTH) / 8, "lora_up.weight": torch.randn(WIDTH, RANK) / 8}
    tensors = {end: x.clone() for end, x in KINDS[kind](own, factors).items()}
    save_file({f"{LAYER}.{end}": x for end, x in tensors.items()}, tmp_path / "a.safetensors")
    with attach_loras(quantised, [f"{tmp_path / 'a.safetensors'}:0.5"]) as on:
        found = weight(on.transformer.get_submodule(LAYER))
        assert error(velocity(on), before) > 1e-5
    assert error(found, own + 0.5 * (changed_by(own, tensors) - own)) < 1e-5
    assert torch.equal(velocity(quantised), before)
