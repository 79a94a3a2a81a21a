"""Stable Diffusion 3 against diffusers' own pipeline: what its transformer is given, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import footprint, load_backbone, wrap_pipeline
from dragflow.core.config import InversionConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import Site
from small_flux import error
from small_sd3 import write_sd3
from watched import watched

H, W, STEPS, SCALE = 48, 80, 4, 3.0
PROMPT = "a red ball beside a tree"
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=[True, False], ids=["t5", "without t5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd3(tmp_path_factory.mktemp("sd3") / "model", t5=request.param)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    import diffusers

    absent = {} if (folder / "text_encoder_3").is_dir() else {"text_encoder_3": None, "tokenizer_3": None}
    pipe = diffusers.StableDiffusion3Pipeline.from_pretrained(folder, **absent)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def ours(folder: Path) -> PipelineBackbone:
    loaded = load_backbone(ModelOptions.of(folder, device="cpu"))
    assert isinstance(loaded, PipelineBackbone)
    return loaded


def test_every_step_is_the_pipelines(ours: PipelineBackbone, theirs: Any) -> None:
    length = 256 if theirs.tokenizer_3 is None else int(theirs.tokenizer_3.model_max_length)
    with watched(theirs) as seen:
        theirs(
            PROMPT, height=H, width=W, num_inference_steps=STEPS, guidance_scale=SCALE, max_sequence_length=length,
            generator=torch.Generator().manual_seed(0), output_type="latent",
        )  # fmt: skip
    cond = ours.condition(PROMPT, guidance=SCALE)
    times = [float(t) / 1000 for t in theirs.scheduler.timesteps]
    assert len(seen) == STEPS
    for (z, v), t in zip(seen, times, strict=True):
        assert error(ours.velocity(z, t, cond), v) < TOLERANCE


def test_the_times_are_shifted_as_the_scheduler_says(ours: PipelineBackbone) -> None:
    """t' = 3 t / (1 + 2 t), whatever the size of the picture."""
    times = ours.schedule(InversionConfig(4, 1), (H // 8, W // 8)).times
    assert times == pytest.approx([1, 0.9, 0.75, 0.5, 0], abs=1e-6)


def test_a_pipeline_that_is_loaded_already_gives_the_same(ours: PipelineBackbone, theirs: Any) -> None:
    wrapped = wrap_pipeline(theirs, ModelOptions())
    z = torch.randn(1, 16, H // 8, W // 8)
    cond = wrapped.condition(PROMPT, guidance=1.0)
    assert torch.equal(wrapped.velocity(z, 0.5, cond), ours.velocity(z, 0.5, ours.condition(PROMPT, guidance=1.0)))


def test_the_second_attention_is_left_alone(ours: PipelineBackbone) -> None:
    seen: list[Site] = []

    class Watch:
        blocks = frozenset(ours.spec.blocks)

        def __call__(self, site: Site, x: Tensor) -> Tensor:
            seen.append(site)
            return x

    z = torch.randn(1, 16, H // 8, W // 8)
    ours.velocity(z, 0.5, ours.condition("", guidance=1.0), kv=Watch())
    assert ours.transformer.transformer_blocks[0].attn2 is not None
    assert seen == [Site(block, part) for block in ours.spec.blocks for part in ("k", "v")]


def test_a_picture_without_places_is_refused(ours: PipelineBackbone) -> None:
    with pytest.raises(UserError, match=r"at 400 x 64, and it has places for 384 pixels a side.*size\.max_pixels"):
        ours.velocity(torch.zeros(1, 16, 8, 50), 0.5, ours.condition("", guidance=1.0))


@pytest.mark.parametrize(
    ("name", "transformer"),
    [("stable-diffusion-3.5-medium", 2.243e9), ("stable-diffusion-3.5-large", 8.06e9)],
)
def test_published_weights_are_counted_without_a_download(
    name: str, transformer: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = footprint(ModelOptions.of(f"stabilityai/{name}"))
    assert found.model == f"stabilityai/{name}"
    # The file of medium holds 2.47e9 values: its table of places, 384 x 384 x 1536, is no parameter.
    assert found.transformer == pytest.approx(transformer, rel=0.01)
    assert found.others == pytest.approx(5.67e9, rel=0.02)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("transformer", "in_channels", 8, "the latent_channels of the vae"),
        ("transformer", "pooled_projection_dim", 24, "projection_dim of text_encoder and of text_encoder_2"),
        ("transformer", "joint_attention_dim", 16, "d_model of text_encoder_3"),
        ("transformer", "caption_projection_dim", 32, "num_attention_heads times attention_head_dim"),
        ("vae", "scaling_factor", 0, "it must not be 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(part: str, key: str, value: Any, words: str, tmp_path: Path) -> None:
    import json

    folder = write_sd3(tmp_path / "model")
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=words):
        load_backbone(ModelOptions.of(folder, device="cpu"))
