"""LoRA files as diffusers saves them: loaded, scaled, several at once, and part of the weights' fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dragflow.backbones.registry import load_backbone
from dragflow.method.backbone import Backbone


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
        load_backbone(str(dummy_folder), lora=lora) for lora in ((), (f"{file}:0",), (f"{file}:0.5",), (file,))
    )
    z = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    taps = ("double.0.out",)

    def feature(backbone: Backbone) -> torch.Tensor:
        return backbone.features(z, 0.8, backbone.condition("", guidance=1.0), taps=taps)[0]

    base = feature(plain)
    assert torch.equal(feature(off), base)
    assert (feature(half) - base).norm() > 0
    assert (feature(on) - base).norm() > (feature(half) - base).norm()
    twice = load_backbone(str(dummy_folder), lora=(f"{file}:0.5", f"{file}:0.5"))
    assert torch.allclose(feature(twice), feature(on), atol=1e-5)
    assert on.identity().fingerprint != plain.identity().fingerprint
