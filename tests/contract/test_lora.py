"""LoRA files as diffusers saves them: loaded, scaled, several at once, and part of the weights' fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import Lora, attach_loras, parse_lora
from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import Backbone
from small_flux import write_lora


def test_a_lora_changes_the_features_in_proportion_to_its_scale(dummy_folder: Path, tmp_path: Path) -> None:
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = FluxPipeline.from_pretrained(dummy_folder)
    pipeline.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_k", "to_v"], init_lora_weights=False))
    layers: dict[str, Any] = get_peft_model_state_dict(pipeline.transformer)
    FluxPipeline.save_lora_weights(tmp_path, layers)
    file = str(tmp_path / "pytorch_lora_weights.safetensors")

    plain, off, half, on = (
        load_backbone(ModelOptions.of(dummy_folder, lora=lora))
        for lora in ((), (f"{file}:0",), (f"{file}:0.5",), (file,))
    )
    z = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    taps = ("double.0.out",)

    def feature(backbone: Backbone) -> torch.Tensor:
        return backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=taps)[0]

    base = feature(plain)
    assert torch.equal(feature(off), base)
    assert (feature(half) - base).norm() > 0
    assert (feature(on) - base).norm() > (feature(half) - base).norm()
    twice = load_backbone(ModelOptions.of(dummy_folder, lora=(f"{file}:0.5", f"{file}:0.5")))
    assert torch.allclose(feature(twice), feature(on), atol=1e-5)
    assert on.weights.fingerprint != plain.weights.fingerprint


def test_several_loras_add_up_each_at_its_rank_and_scale(dummy_folder: Path, tmp_path: Path) -> None:
    """The layer's output is W x + 0.5 B1 A1 x - 2 B2 A2 x."""
    from safetensors.torch import load_file

    files = [
        write_lora(dummy_folder, tmp_path / f"{rank}.safetensors", rank, seed) for seed, rank in enumerate((2, 5), 1)
    ]
    names = "transformer.transformer_blocks.1.attn.to_k.lora_{}.weight"
    (a1, b1), (a2, b2) = ([load_file(file)[names.format(part)] for part in "AB"] for file in files)
    assert (a1.shape[0], a2.shape[0]) == (2, 5)
    plain = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    both = load_backbone(ModelOptions.of(dummy_folder, device="cpu", lora=(f"{files[0]}:0.5", f"{files[1]}:-2")))
    assert isinstance(plain, Flux1)
    assert isinstance(both, Flux1)
    x = torch.randn(7, a1.shape[1], generator=torch.Generator().manual_seed(0))
    before, after = (
        backbone.transformer.get_submodule("transformer_blocks.1.attn.to_k")(x) for backbone in (plain, both)
    )
    assert torch.allclose(after, before + 0.5 * x @ a1.T @ b1.T - 2 * x @ a2.T @ b2.T, atol=1e-5)


def test_a_name_may_hold_colons(dummy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "at 12:30"
    folder.mkdir()
    file = write_lora(dummy_folder, folder / "a:b:2.safetensors", 2, 1)
    assert parse_lora(str(file)) == Lora(file, 1.0)
    assert parse_lora(f"{file}:0.25") == Lora(file, 0.25)
    assert load_backbone(ModelOptions.of(dummy_folder, device="cpu", lora=(f"{file}:0.25",))).weights.options.lora == (
        f"{file}:0.25",
    )
    bare = file.rename(folder / "style:2")
    assert parse_lora(str(bare)) == Lora(bare, 1.0)
    assert parse_lora(f"{bare}:3") == Lora(bare, 3.0)
    for scale in ("nan", "inf"):
        with pytest.raises(UserError, match="finite"):
            parse_lora(f"{bare}:{scale}")


def test_attached_loras_are_those_that_a_load_gives(dummy_folder: Path, tmp_path: Path) -> None:
    files = [write_lora(dummy_folder, tmp_path / f"{seed}.safetensors", 2, seed) for seed in (1, 2)]
    loras = (f"{files[0]}:0.5", str(files[1]))
    plain, loaded = (
        load_backbone(ModelOptions.of(dummy_folder, device="cpu")),
        load_backbone(ModelOptions.of(dummy_folder, lora=loras)),
    )
    z = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))

    def velocity(backbone: Backbone) -> torch.Tensor:
        return backbone.velocity(z, 0.8, backbone.condition("a", guidance=1.0))

    before, weights = velocity(plain), plain.weights
    with attach_loras(plain, loras) as on:
        assert torch.equal(velocity(on), velocity(loaded))
        assert on.weights == loaded.weights
    assert torch.equal(velocity(plain), before)
    assert plain.weights == weights != loaded.weights
    with (
        pytest.raises(UserError, match=r"none\.safetensors"),
        attach_loras(plain, [str(tmp_path / "none.safetensors")]),
    ):
        pass
    (tmp_path / "bad.safetensors").write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"bad\.safetensors"),
        attach_loras(plain, [*loras, str(tmp_path / "bad.safetensors")]),
    ):
        pass
    assert torch.equal(velocity(plain), before)
