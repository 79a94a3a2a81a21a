"""A small FLUX: how it is called, and what is measured of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from dragflow.backbones.flux1.layout import image_ids
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.method.backbone import BackboneSpec, Fill
from dragflow.subject.registry import load_subject

TIME = 0.7
GRID = (3, 4)
SIDE = 28
"""Of the pictures that the small encoders see."""


def load(folder: Path, **options: Any) -> Flux1:
    return cast("Flux1", load_backbone(ModelOptions.of(folder, device="cpu", **options)))


def latent() -> Tensor:
    return torch.randn(1, 16, 2 * GRID[0], 2 * GRID[1], generator=torch.Generator().manual_seed(3))


def some_fill(spec: BackboneSpec) -> Fill | None:
    """A hole in something, for a model that fills."""
    if not spec.fills:
        return None
    mask = torch.zeros(GRID[0] * spec.pixel_multiple, GRID[1] * spec.pixel_multiple, dtype=torch.bool)
    mask[11:30, 5:42] = True
    return Fill(latent().flip(-1), mask)


def picture(seed: int, h: int = SIDE, w: int = SIDE) -> Tensor:
    """Of 8-bit values, as an encoder sees it."""
    return torch.randint(0, 256, (1, 3, h, w), generator=torch.Generator().manual_seed(seed)) / 255


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative error in the Euclidean norm."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def hooks(backbone: PipelineBackbone) -> int:
    modules = list(backbone.transformer.modules())
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)


def gradient(backbone: PipelineBackbone, z: Tensor, cond: Any, kv: Any = None) -> Tensor:
    """Of the features' mean square in the latent."""
    z = z.clone().requires_grad_(True)
    features = backbone.features(z, TIME, cond, taps=backbone.spec.taps, kv=kv)
    (found,) = torch.autograd.grad(torch.stack([f.float().square().mean() for f in features]).sum(), z)
    return found


def check_gradients(backbone: PipelineBackbone, checkpointed: PipelineBackbone, z: Tensor, cond: Any) -> None:
    """A subject changes the gradient in the latent, with checkpointing alike; no hook stays."""
    found = gradient(backbone, z, cond)
    assert found.isfinite().all()
    assert not torch.allclose(found, gradient(backbone, z, replace(cond, subject=None)), rtol=1e-3)
    assert torch.allclose(gradient(checkpointed, z, cond), found, rtol=1e-5, atol=1e-9)
    assert hooks(backbone) == hooks(checkpointed) == 0


def check_frozen(tensors: Iterable[Tensor]) -> None:
    """No gradient has reached any of these."""
    assert all(x.grad is None and not x.requires_grad for x in tensors)


def refusal(options: SubjectOptions, backbone: PipelineBackbone) -> str:
    """Why a subject adapter is not loaded."""
    with pytest.raises(UserError) as raised:
        load_subject(options, backbone)
    return str(raised.value)


def write_lora(folder: Path, file: Path, rank: int, seed: int) -> Path:
    """A LoRA of random weights for the keys of a model."""
    from diffusers import FluxTransformer2DModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    transformer = FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer")
    torch.manual_seed(seed)
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=["to_k"], init_lora_weights=False))
    layers: dict[str, torch.Tensor] = get_peft_model_state_dict(transformer)
    save_file({f"transformer.{name}": tensor for name, tensor in layers.items()}, file)
    return file


@torch.no_grad()
def diffusers_velocity(transformer: Any, z: Tensor, cond: Any, fill: Tensor | None = None, **more: Any) -> Tensor:
    """What diffusers' own forward pass of a transformer gives, without references; `fill` is beside the latent."""
    out = transformer(
        hidden_states=pack(z) if fill is None else torch.cat([pack(z), fill], dim=2),
        encoder_hidden_states=cond.text.tokens,
        pooled_projections=cond.text.pooled,
        timestep=torch.full((1,), TIME),
        guidance=torch.full((1,), cond.guidance),
        img_ids=image_ids(*GRID, z.device),
        txt_ids=torch.zeros(cond.text.tokens.shape[1], 3),
        return_dict=False,
        **more,
    )[0]
    return unpack(out, *GRID)
