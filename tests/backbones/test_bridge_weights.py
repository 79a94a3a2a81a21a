"""The weights of a bridge: they start at the velocity zero, and a file gives them back to within its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dragflow.backbones.bridge import bridge_of, read_bridge, write_bridge
from dragflow.backbones.tensors import read_safetensors
from dragflow.core.errors import UserError


def transformer(seed: int = 0) -> Any:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(seed)
    return FluxTransformer2DModel(
        in_channels=8,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        axes_dims_rope=(4, 6, 6),
    )


def velocity(model: Any, channels: int, seed: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(1, 6, channels, generator=draw),
            encoder_hidden_states=torch.randn(1, 2, 12, generator=draw),
            pooled_projections=torch.randn(1, 10, generator=draw),
            timestep=torch.ones(1),
            img_ids=torch.zeros(6, 3),
            txt_ids=torch.zeros(2, 3),
            return_dict=False,
        )[0]


@pytest.fixture
def trained() -> Any:
    """A bridge of `transformer()`, with weights as after a training."""
    made = bridge_of(transformer(), 20)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=draw)
    return made


def test_a_bridge_begins_at_the_velocity_zero_in_the_layout_of_the_model() -> None:
    own, made = transformer(), bridge_of(transformer(), 20)
    assert velocity(own, 8).abs().max() > 0
    assert (velocity(made, 28) == 0).all()
    assert velocity(made, 28).shape == velocity(own, 8).shape


def test_a_bridge_does_not_see_its_hints_before_it_is_trained() -> None:
    own, made = transformer(), bridge_of(transformer(), 20)
    made.proj_out.load_state_dict(own.proj_out.state_dict())
    x = torch.randn(3, 8)
    told = torch.cat([x, torch.randn(3, 20)], 1)
    assert torch.allclose(made.x_embedder(told), own.x_embedder(x), atol=1e-6)


def test_a_file_gives_every_weight_back_to_within_half_a_step(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "bridge.safetensors"
    write_bridge(path, trained, transformer())
    read, start = read_bridge(path, transformer()).state_dict(), bridge_of(transformer(), 20).state_dict()
    for name, weight in trained.state_dict().items():
        difference = weight - start[name]
        step = difference.abs().amax(-1, keepdim=True) / 127 if weight.ndim == 2 else torch.zeros(1)
        assert ((read[name] - weight).abs() <= 0.51 * step + 1e-6).all(), name
    assert torch.allclose(velocity(read_bridge(path, transformer()), 28), velocity(trained, 28), atol=0.02)


def test_a_weight_takes_a_byte(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "bridge.safetensors"
    write_bridge(path, trained, transformer())
    matrices = [weight for weight in trained.parameters() if weight.ndim == 2]
    others = sum(weight.numel() for weight in trained.parameters() if weight.ndim != 2)
    scales = sum(len(weight) for weight in matrices)
    bound = sum(weight.numel() for weight in matrices) + 4 * (others + scales) + 20_000
    assert path.stat().st_size < bound < 4 * sum(weight.numel() for weight in trained.parameters())


def test_a_bridge_of_another_model_is_refused(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "bridge.safetensors"
    write_bridge(path, trained, transformer())
    with pytest.raises(UserError, match="of another model"):
        read_bridge(path, transformer(seed=1))


def test_what_is_no_bridge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bridge.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as a bridge"):
        read_bridge(path, transformer())
    save_file({"x": torch.zeros(1)}, path, {"format": "0"})
    with pytest.raises(UserError, match="of format 0, this version reads 1"):
        read_bridge(path, transformer())
    with pytest.raises(UserError, match="cannot be read as a bridge"):
        read_bridge(tmp_path / "nowhere.safetensors", transformer())


def test_a_damaged_bridge_is_refused_by_the_tensor(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "bridge.safetensors"
    write_bridge(path, trained, transformer())
    about, tensors = read_safetensors(path)
    for change, text in (
        (lambda held: held.pop("x_embedder.weight.scale"), "x_embedder.weight.scale is missing"),
        (lambda held: held.update(more=torch.zeros(1)), "more is unexpected"),
        (lambda held: held.update({"proj_out.bias": torch.zeros(3)}), "proj_out.bias has shape"),
    ):
        held = dict(tensors)
        change(held)
        save_file(held, path, about)
        with pytest.raises(UserError, match=text):
            read_bridge(path, transformer())
    save_file(tensors, path, about | {"hints": "8"})
    with pytest.raises(UserError, match="has 8 channels of hints, 20 are needed"):
        read_bridge(path, transformer())
