"""Our projector and attention give the numbers recorded from the published adapter; every tensor of it is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dragflow.subject.instantcharacter.attention import SubjectAttention
from dragflow.subject.instantcharacter.projector import Projector, ProjectorSize, SubjectFeatures

TOLERANCE = 1e-5
SCALE = 1.5
TEXT = 5


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative error in the Euclidean norm."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@dataclass
class Recorded:
    folder: Path

    @cached_property
    def vectors(self) -> dict[str, Tensor]:
        return {key: torch.from_numpy(value) for key, value in np.load(self.folder / "vectors.npz").items()}

    @cached_property
    def keys(self) -> dict[str, dict[str, list[int]]]:
        return json.loads((self.folder / "instantcharacter_keys.json").read_text())

    def tensors(self, file: str, prefix: str = "") -> dict[str, Tensor]:
        found = load_file(self.folder / f"{file}.safetensors")
        return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


@pytest.fixture(scope="module")
def recorded(reference_dir: Path) -> Recorded:
    return Recorded(reference_dir / "adapter")


@pytest.mark.parametrize("i", range(4))
def test_subject_tokens(recorded: Recorded, i: int) -> None:
    size = json.loads((recorded.folder / "projector.json").read_text())
    projector = Projector(
        ProjectorSize(
            features=size["inner_dim"],
            blocks=size["num_layers"],
            width=size["dim"],
            depth=size["depth"],
            tokens=size["num_queries"],
            out=size["output_dim"],
            head=size["dim_head"],
            frequencies=size["timestep_in_dim"],
        )
    )
    projector.load_state_dict(recorded.tensors("projector"))
    v = recorded.vectors
    features = SubjectFeatures(v["low_res_shallow"], v["low_res_deep"], v["high_res_deep"])
    with torch.no_grad():
        found = projector.eval()(features, float(v[f"t_{i}"]))
    assert error(found, v[f"tokens_{i}"]) < TOLERANCE


def attention(recorded: Recorded, kind: str, **settings: Any) -> tuple[Any, SubjectAttention]:
    """The model's attention and the adapter's part of it."""
    from diffusers.models.transformers.transformer_flux import FluxAttention

    model = FluxAttention(256, heads=2, dim_head=128, bias=True, out_dim=256, eps=1e-6, **settings)
    model.load_state_dict(recorded.tensors("attention", f"{kind}.attn."))
    adapter = SubjectAttention(256, 128, 96)
    adapter.load_state_dict(recorded.tensors("attention", f"{kind}.ip."))
    return model, adapter


def rotary(recorded: Recorded) -> tuple[Tensor, Tensor]:
    from diffusers.models.transformers.transformer_flux import FluxPosEmbed

    return FluxPosEmbed(10000, [16, 56, 56])(recorded.vectors["ids"])


def test_injection_in_a_double_block_is_added_before_the_output_projection(recorded: Recorded) -> None:
    v = recorded.vectors
    model, adapter = attention(recorded, "double", added_kv_proj_dim=256, context_pre_only=False)
    with torch.no_grad():
        read = adapter(model.to_q(v["double_in"]), adapter.project(v["tokens_2"]))
        model.to_out[0].register_forward_pre_hook(lambda _, args: (args[0] + SCALE * read,))
        image, text = model(v["double_in"], v["double_ctx_in"], image_rotary_emb=rotary(recorded))
    assert error(image, v["double_out"]) < TOLERANCE
    assert error(text, v["double_ctx_out"]) < TOLERANCE


def test_injection_in_a_single_block_is_for_image_tokens_alone(recorded: Recorded) -> None:
    v = recorded.vectors
    model, adapter = attention(recorded, "single", pre_only=True)
    with torch.no_grad():
        out = model(v["single_in"], image_rotary_emb=rotary(recorded))
        read = adapter(model.to_q(v["single_in"])[:, TEXT:], adapter.project(v["tokens_2"]))
        out[:, TEXT:] += SCALE * read
    assert error(out, v["single_out"]) < TOLERANCE


def test_the_real_size_has_every_tensor_of_the_checkpoint(recorded: Recorded) -> None:
    with torch.device("meta"):
        parts = {
            "image_proj": Projector(ProjectorSize()),
            "ip_adapter": nn.ModuleList(SubjectAttention(3072, 128, 4096) for _ in range(57)),
        }
    for part, module in parts.items():
        assert {key: list(x.shape) for key, x in module.state_dict().items()} == recorded.keys[part]
    counts = {part: sum(x.numel() for x in module.parameters()) / 1e9 for part, module in parts.items()}
    assert counts == pytest.approx({"image_proj": 1.36, "ip_adapter": 1.43}, abs=0.01)
