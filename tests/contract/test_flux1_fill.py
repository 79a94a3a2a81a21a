"""FLUX.1 Fill against diffusers' own pipeline, and with what FLUX.1 has: subjects, LoRAs, guidance."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.flux1_fill.model import Flux1Fill
from dragflow.backbones.lora import attach_loras
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.registry import footprint, wrap_pipeline
from dragflow.core.config import InversionConfig, SubjectConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.method.filling import kept, with_hole
from dragflow.subject.registry import load_subject
from small_flux import GRID, TIME, check_gradients, hooks, latent, load, picture, some_fill, write_lora

PROMPT, GUIDANCE, STEPS = "a cat on grass", 30.0, 3
TOKENS, SIZE = GRID[0] * GRID[1], (16 * GRID[0], 16 * GRID[1])


@dataclass
class Call:
    """What diffusers' pipeline gave its transformer, and the answer."""

    given: dict[str, Any]
    velocity: Tensor


@pytest.fixture(scope="module", params=[True, False], ids=["guidance", "no guidance"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dummy(tmp_path_factory.mktemp("fill") / "model", pipeline="FluxFillPipeline", guidance=request.param)


@pytest.fixture(scope="module")
def hole() -> Tensor:
    """Of no shape that cells or tokens have."""
    found = torch.zeros(SIZE, dtype=torch.bool)
    found[11:30, 5:42] = found[40, 50] = True
    return found


def pipeline_calls(folder: Path, z: Tensor, image: Tensor, hole: Tensor) -> list[Call]:
    """Of some steps from `z`, with a picture that is filled. Its encoder's draw is replaced by the mode."""
    from diffusers import FluxFillPipeline
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    pipe: Any = FluxFillPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    calls: list[Call] = []
    pipe.transformer.register_forward_hook(
        lambda _, __, given, out: calls.append(Call(given, out[0])), with_kwargs=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
        pipe(
            PROMPT,
            image=image,
            mask_image=hole[None, None].float(),
            height=SIZE[0],
            width=SIZE[1],
            latents=pack(z),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            max_sequence_length=64,
            output_type="latent",
        )
    return calls


def check_equal(backbone: Flux1Fill, cond: Any, calls: list[Call]) -> None:
    """Inputs, times and velocities of every step."""
    assert len(calls) == STEPS
    times = backbone.schedule(InversionConfig(STEPS, 0), (2 * GRID[0], 2 * GRID[1])).times
    for call, t in zip(calls, times[:-1], strict=True):
        tokens = call.given["hidden_states"]
        assert float(call.given["timestep"]) == pytest.approx(t, abs=1e-6)
        z = unpack(tokens[..., :64], *GRID)
        assert torch.allclose(backbone._packed(z, cond), tokens, rtol=0, atol=1e-5)
        assert torch.equal(backbone._packed(z, cond)[..., 128:], tokens[..., 128:])
        ours = backbone.velocity(z, float(call.given["timestep"]), cond)
        assert torch.allclose(pack(ours), call.velocity, rtol=0, atol=1e-5)


def test_it_is_the_librarys_own_pipeline(folder: Path, hole: Tensor) -> None:
    backbone, z, image = load(folder), latent(), picture(5, *SIZE)
    assert isinstance(backbone, Flux1Fill)
    cond = backbone.condition(PROMPT, fill=with_hole(backbone, image, hole), guidance=GUIDANCE)
    calls = pipeline_calls(folder, z, image, hole)
    check_equal(backbone, cond, calls)
    assert calls[0].given["hidden_states"].shape == (1, TOKENS, 384)
    assert (backbone.spec.guidance == "embedded") == (calls[0].given["guidance"] is not None)


def test_a_picture_of_which_nothing_is_drawn_is_told_by_its_latent(folder: Path) -> None:
    backbone, image = load(folder), picture(5, *SIZE)
    assert isinstance(backbone, Flux1Fill)
    cond = backbone.condition(PROMPT, fill=kept(backbone.encode(image), backbone.spec), guidance=GUIDANCE)
    check_equal(backbone, cond, pipeline_calls(folder, latent(), image, torch.zeros(SIZE, dtype=torch.bool)))


def test_without_a_fill_nothing_is_kept(folder: Path) -> None:
    backbone = load(folder)
    assert isinstance(backbone, Flux1Fill)
    calls = pipeline_calls(folder, latent(), picture(5, *SIZE), torch.ones(SIZE, dtype=torch.bool))
    check_equal(backbone, backbone.condition(PROMPT, guidance=GUIDANCE), calls)


def test_what_is_kept_and_where_it_draws_both_matter(fill_folder: Path) -> None:
    backbone, z = load(fill_folder), latent()
    fill = some_fill(backbone.spec)
    assert fill is not None
    seen = [
        backbone.velocity(z, TIME, backbone.condition("", fill=each, guidance=1.0))
        for each in (None, fill, replace(fill, mask=~fill.mask), replace(fill, z=fill.z + 1))
    ]
    assert not any(torch.allclose(a, b, atol=1e-4) for i, a in enumerate(seen) for b in seen[:i])


def test_a_loaded_pipeline_is_taken(fill_folder: Path) -> None:
    from diffusers import FluxFillPipeline

    backbone = wrap_pipeline(FluxFillPipeline.from_pretrained(fill_folder), ModelOptions())
    assert (backbone.spec.family, backbone.spec.fills, backbone.spec.preset) == ("flux1-fill", True, "fill")


@pytest.mark.parametrize("adapter", ["instantcharacter", "ip_adapter"])
def test_a_subject_reaches_the_image(adapter: str, fill_folder: Path, request: pytest.FixtureRequest) -> None:
    options: SubjectOptions = request.getfixturevalue(adapter)
    backbone, checkpointed, z = load(fill_folder), load(fill_folder, checkpointing=True), latent()
    subject = load_subject(options, backbone).encode(picture(1))
    plain, with_subject, off = (
        backbone.condition("a cat", subject=each, fill=some_fill(backbone.spec), guidance=1.0)
        for each in (None, subject, subject.under(SubjectConfig(scale=0.0)))
    )
    v = backbone.velocity(z, TIME, plain)
    assert torch.equal(backbone.velocity(z, TIME, off), v)
    assert not torch.allclose(backbone.velocity(z, TIME, with_subject), v, atol=1e-4)
    check_gradients(backbone, checkpointed, z, with_subject)
    assert hooks(backbone) == 0


def test_a_lora_changes_what_is_drawn(fill_folder: Path, tmp_path: Path) -> None:
    backbone, z = load(fill_folder), latent()
    fill = some_fill(backbone.spec)
    before = backbone.velocity(z, TIME, backbone.condition("", fill=fill, guidance=1.0))
    with attach_loras(backbone, [str(write_lora(fill_folder, tmp_path / "blend.safetensors", 2, 1))]) as on:
        assert on.spec.fills
        after = on.velocity(z, TIME, on.condition("", fill=fill, guidance=1.0))
    assert not torch.allclose(after, before, atol=1e-4)


@pytest.mark.parametrize(("key", "value", "needed"), [("in_channels", 64, 384), ("out_channels", 128, 64)])
def test_channels_that_do_not_fit_are_named(key: str, value: int, needed: int, tmp_path: Path) -> None:
    folder = write_dummy(tmp_path / "model", pipeline="FluxFillPipeline")
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=rf"transformer has {key} {value} .* must be {needed}: 2 x 2 cells"):
        load(folder)


def test_the_published_weights_in_real_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = footprint(ModelOptions.of("black-forest-labs/FLUX.1-Fill-dev"))
    dev = footprint(ModelOptions.of("black-forest-labs/FLUX.1-dev"))
    assert found.transformer == dev.transformer + (384 - 64) * 3072  # 11.9 billion
    assert found.transformer == pytest.approx(11.9e9, rel=0.01)
    assert found.others == dev.others
