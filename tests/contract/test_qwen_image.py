"""Qwen-Image against diffusers' own pipeline: prompts, times, guidance, autoencoder; and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dragflow.backbones.configs import settings_of
from dragflow.backbones.footprint import empty_networks
from dragflow.backbones.packing import pack, unpack
from dragflow.backbones.pipeline_layout import network_class
from dragflow.backbones.qwen_image.layout import check_configs
from dragflow.backbones.qwen_image.load import LAYOUT
from dragflow.backbones.qwen_image.model import QwenImage
from dragflow.backbones.qwen_image.published import published
from dragflow.backbones.registry import footprint, load_backbone, wrap_pipeline
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from small_flux import GRID, latent
from small_qwen import library_pipeline, steps_of, write_qwen

PROMPT, GUIDANCE = "a cat on grass", 4.0
TOKENS = GRID[0] * GRID[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen(tmp_path_factory.mktemp("model") / "qwen")


@pytest.fixture(scope="module")
def backbone(folder: Path) -> QwenImage:
    return load(folder)


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return library_pipeline(folder, "QwenImagePipeline")


def load(folder: Path, **options: Any) -> QwenImage:
    loaded = load_backbone(ModelOptions.of(folder, **{"device": "cpu", **options}))
    assert isinstance(loaded, QwenImage)
    return loaded


def test_it_is_the_librarys_own_pipeline(backbone: QwenImage, pipe: Any) -> None:
    cond = backbone.condition(PROMPT, guidance=GUIDANCE)
    times = backbone.schedule(InversionConfig(3, 0), (2 * GRID[0], 2 * GRID[1])).times
    steps = steps_of(
        pipe,
        TOKENS,
        prompt=PROMPT,
        true_cfg_scale=GUIDANCE,
        height=16 * GRID[0],
        width=16 * GRID[1],
        latents=pack(latent()),
        num_inference_steps=3,
    )
    assert len(steps) == 3
    for step, t in zip(steps, times, strict=False):
        assert step.given["encoder_hidden_states_mask"] is None
        assert torch.allclose(cond.own.text.tokens, step.given["encoder_hidden_states"], atol=1e-5)
        assert torch.allclose(cond.negative.text.tokens, step.away["encoder_hidden_states"], atol=1e-5)
        assert float(step.given["timestep"]) == pytest.approx(t, abs=1e-6)
        z = unpack(step.given["hidden_states"], *GRID)
        assert torch.allclose(pack(backbone.velocity(z, t, cond.own)), step.answer, rtol=0, atol=1e-5)
        assert torch.allclose(pack(backbone.velocity(z, t, cond)), step.led, rtol=0, atol=1e-5)


def test_guidance_keeps_the_length_of_every_token(backbone: QwenImage) -> None:
    v, away = latent(), latent().flip(-1)
    led = backbone._lead(v, away, GUIDANCE)
    assert torch.allclose(pack(led).norm(dim=-1), pack(v).norm(dim=-1))
    assert torch.allclose(backbone._lead(v, v, GUIDANCE), v, atol=1e-5)
    assert not torch.allclose(led, v, atol=0.1)


@pytest.mark.parametrize("steps", [1, 4, 25, 50])
@pytest.mark.parametrize("size", [(256, 256), (1024, 1024), (1328, 1328), (928, 1664)])
def test_the_times_are_the_pipelines_own(steps: int, size: tuple[int, int], backbone: QwenImage, pipe: Any) -> None:
    from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift

    config = pipe.scheduler.config
    mu = calculate_shift(
        size[0] * size[1] // 256,
        config.base_image_seq_len,
        config.max_image_seq_len,
        config.base_shift,
        config.max_shift,
    )
    times = backbone.schedule(InversionConfig(steps, 0), (size[0] // 8, size[1] // 8)).times
    if steps == 1:  # the library stretches nothing to nothing
        assert times == (1.0, 0.0)
        return
    pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    assert times == pytest.approx(pipe.scheduler.sigmas.tolist(), abs=1e-6)
    assert times[-2] == pytest.approx(0.02, abs=1e-6)


def test_pictures_and_latents_are_the_librarys(backbone: QwenImage, pipe: Any) -> None:
    from diffusers import QwenImageEditPipeline

    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    editing = QwenImageEditPipeline(**pipe.components, processor=None)  # pyright: ignore[reportArgumentType]
    theirs: Tensor = editing._encode_vae_image((picture * 2 - 1).unsqueeze(2), None)  # pyright: ignore[reportArgumentType]
    z = backbone.encode(picture)
    assert torch.allclose(z, theirs[:, :, 0], atol=1e-5)
    config = pipe.vae.config
    mean, deviation = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (config.latents_mean, config.latents_std))
    with torch.no_grad():
        decoded = pipe.vae.decode(z.unsqueeze(2) / (1.0 / deviation) + mean, return_dict=False)[0][:, :, 0]
    ours = backbone.decode(z)
    assert torch.allclose(ours, pipe.image_processor.postprocess(decoded, output_type="pt"), atol=1e-5)
    assert float(ours.std()) > 0


def test_a_long_prompt_is_cut_where_the_pipeline_cuts_it(backbone: QwenImage, pipe: Any) -> None:
    long = "a cat " * 300
    theirs = pipe.encode_prompt(long, max_sequence_length=512)[0]
    ours = backbone.condition(long, guidance=1.0)
    assert theirs.shape[1] == backbone.spec.text_limit == 512
    assert torch.allclose(ours.text.tokens, theirs, atol=1e-5)


def test_a_loaded_pipeline_is_taken(pipe: Any) -> None:
    wrapped = wrap_pipeline(pipe, ModelOptions())
    assert wrapped.spec.family == "qwen-image"
    assert (wrapped.spec.guidance, wrapped.spec.negative, wrapped.spec.references) == ("classifier-free", " ", 0)


@pytest.mark.parametrize("model", ["Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2511"])
def test_the_published_size(model: str) -> None:
    found = footprint(ModelOptions.of(model))
    assert found.model == model
    assert found.transformer == pytest.approx(20.43e9, rel=0.01)
    assert found.others == pytest.approx(8.29e9 + 0.127e9, rel=0.01)  # Qwen2.5-VL-7B, and the autoencoder
    assert found.pixel_multiple == 16
    assert found.kv_bytes((1024, 1024)) == 2 * 13 * 4096 * 3072 * 2  # at as many blocks as of FLUX.1


def test_settings_as_the_published_files_have_them() -> None:
    """With keys that newer libraries do not know, numbers that are empty, and the text's settings twice or once."""
    known = published("Qwen/Qwen-Image")
    text = {key: value for key, value in known["text_encoder"]["text_config"].items() if key != "rope_parameters"}
    text |= {
        "rope_theta": 1e6,
        "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
    }
    text |= {"max_window_layers": 28, "sliding_window": 32768, "use_sliding_window": False, "rms_norm_eps": 1e-6}
    vision = {
        **known["text_encoder"]["vision_config"],
        "model_type": "qwen2_5_vl",
        "in_chans": 3,
        "spatial_patch_size": 14,
    }
    both = {
        **text,
        "model_type": "qwen2_5_vl",
        "torch_dtype": "bfloat16",
        "image_token_id": 151655,
        "vision_config": vision,
    }
    nested = {**text, "model_type": "qwen2_5_vl_text", "image_token_id": None, "sliding_window": None}
    transformer = {"pooled_projection_dim": 768, "axes_dims_rope": [16, 56, 56], "zero_cond_t": True}
    for encoder in (both, {**both, "text_config": {**nested, "layer_types": ["full_attention"] * 28}}):
        configs = {**known, "transformer": transformer, "text_encoder": encoder}
        classes = {part: network_class(LAYOUT, part, config) for part, config in configs.items()}
        check_configs("m", {part: settings_of(classes[part], config) for part, config in configs.items()})
        networks = empty_networks(LAYOUT, configs, "m")
        assert sum(x.numel() for x in networks["text_encoder"].parameters()) == 8_292_166_656


def test_the_settings_of_both_towers_may_stand_in_one(folder: Path, tmp_path: Path) -> None:
    """As Qwen2.5-VL was first published."""
    copy = Path(shutil.copytree(folder, tmp_path / "flat"))
    path = copy / "text_encoder" / "config.json"
    nested = json.loads(path.read_text())
    text = nested.pop("text_config")
    rope = text.pop("rope_parameters")
    text |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
    }
    path.write_text(json.dumps(text | nested))
    ours, theirs = (load(each).condition(PROMPT, guidance=1.0).text.tokens for each in (copy, folder))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("transformer", {"joint_attention_dim": 48}, ("joint_attention_dim 48", "32", "hidden_size")),
        ("transformer", {"out_channels": 8}, ("out_channels 8", "16", "z_dim")),
        ("transformer", {"guidance_embeds": True}, ("guidance_embeds True", "diffusers")),
        ("transformer", {"use_layer3d_rope": True}, ("use_layer3d_rope True", "layers")),
        ("transformer", {"axes_dims_rope": [8, 12, 13]}, ("axes_dims_rope", "32")),
        ("vae", {"latents_std": [1.0] * 15}, ("15 values of latents_std", "16")),
        ("vae", {"latents_std": [0.0] * 16}, ("0 in its latents_std",)),
        ("vae", {"temperal_downsample": [True]}, ("1 values of temperal_downsample", "3")),
        ("vae", {"_class_name": "AutoencoderKL"}, ("AutoencoderKL", "AutoencoderKLQwenImage")),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    part: str, changes: dict[str, Any], words: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    path = copy / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError) as error:
        load(copy)
    assert all(word in str(error.value) for word in words)


def test_a_subject_and_a_picture_in_the_prompt_are_refused(backbone: QwenImage) -> None:
    subject: Any = object()
    with pytest.raises(CapabilityError, match="qwen-image take none"):
        backbone.condition("", subject=subject, guidance=1.0)
    with pytest.raises(UserError, match="image_pad"):
        backbone.condition("a <|image_pad|>", guidance=1.0)


def test_keys_and_values_at_the_depths_of_the_paper(backbone: QwenImage) -> None:
    spec = backbone.spec
    assert spec.blocks == tuple(f"block.{i}" for i in range(9))
    assert spec.taps == ("block.3.norm", "block.3.out")
    assert spec.kv_blocks == ("block.1", "block.6")
    assert spec.kv_token_bytes == 64 * 4
