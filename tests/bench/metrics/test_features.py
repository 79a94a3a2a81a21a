"""Feature extractors on small random models, saved in the layout of the real ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragflow.bench.metrics.features import over_noise
from dragflow.bench.metrics.registry import load_features
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions

PICTURE = np.random.default_rng(5).integers(0, 256, (70, 150, 3), dtype=np.uint8)


def write_stable_diffusion(folder: Path) -> Path:
    """A pipeline of the parts and the four upward blocks of Stable Diffusion 2.1, with small random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    CLIPTokenizer(vocab={p: i for i, p in enumerate(pieces)}, merges=[], model_max_length=77).save_pretrained(
        folder / "tokenizer"
    )
    text = CLIPTextConfig(
        vocab_size=len(pieces), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    unet = UNet2DConditionModel(
        sample_size=96,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=32,
        attention_head_dim=(2, 4, 4, 4),  # pyright: ignore[reportArgumentType]
        use_linear_projection=True,
    )
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        block_out_channels=(8, 8, 8, 8),  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        norm_num_groups=4,
    )
    vae.save_pretrained(folder / "vae")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction"
    )
    scheduler.save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("models") / "sd-tiny")


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "dino-tiny"
    config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=56)
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(stable_diffusion: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stable_diffusion, tmp_path / "sd-copy"))


def full_unet_features(folder: Path, prompt: str, size: tuple[int, int]) -> torch.Tensor:
    """DIFT's definition on the whole pipeline: a hook on upward block 1 in full runs of the UNet."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet")
    vae: Any = AutoencoderKL.from_pretrained(folder / "vae")
    encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder")
    tokenizer: Any = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = (1 - betas).cumprod(0)[261]
    image = torch.tensor(PICTURE).permute(2, 0, 1)[None].float() / 255
    image = torch.nn.functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
    seen: list[torch.Tensor] = []
    unet.up_blocks[1].register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.no_grad():
        z = vae.encode(image * 2 - 1).latent_dist.mean * vae.config.scaling_factor
        ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
        text = encoder(ids).last_hidden_state
        generator = torch.Generator().manual_seed(0)
        for _ in range(8):
            noise = torch.randn(z.shape, generator=generator)
            unet(kept.sqrt() * z + (1 - kept).sqrt() * noise, 261, text)
    return torch.cat(seen).mean(0)


@pytest.mark.parametrize("prompt", ["", "a cat"])
def test_dift_is_up_block_1_of_a_full_run(stable_diffusion: Path, prompt: str) -> None:
    extractor = load_features("dift", str(stable_diffusion), "cpu")
    found = extractor(PICTURE, prompt)
    assert found.shape == (16, 4, 8)  # 70 x 150 is made 64 x 128; a quarter of a latent cell's side is 16 pixels
    torch.testing.assert_close(found, full_unet_features(stable_diffusion, prompt, (64, 128)), rtol=1e-4, atol=1e-5)


def test_dift_tells_prompts_apart_and_repeats_itself(stable_diffusion: Path) -> None:
    extractor = load_features("dift", str(stable_diffusion), "cpu")
    assert extractor.prompted
    first, again, other = (extractor(PICTURE, prompt) for prompt in ("", "", "dog"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dift_runs_no_block_after_the_features(stable_diffusion: Path) -> None:
    from dragflow.bench.metrics.dift import load_dift

    extractor = load_dift(str(stable_diffusion), "cpu")
    run: list[str] = []
    for name, module in extractor.unet.named_children():
        if name == "up_blocks":
            for i, block in enumerate(module):
                block.register_forward_hook(lambda *_, i=i: run.append(f"up {i}"))
        elif name in ("mid_block", "conv_norm_out", "conv_out"):
            module.register_forward_hook(lambda *_, name=name: run.append(name))
    hooks = len(extractor.unet.up_blocks[1]._forward_hooks)
    extractor(PICTURE, "")
    assert run == ["mid_block", "up 0", "up 1"] * 8
    assert len(extractor.unet.up_blocks[1]._forward_hooks) == hooks


def test_dift_is_named_by_what_it_is(stable_diffusion: Path) -> None:
    """A pipeline that has not the shape of Stable Diffusion 2.1 is not called that."""
    from dragflow.bench.metrics import dift

    assert load_features("dift", str(stable_diffusion), "cpu").name == "DIFT (sd-tiny)"

    class Real:
        class config:  # noqa: N801
            cross_attention_dim, sample_size = 1024, 96

    assert dift._version("owner/anything", Real) == "SD 2.1"


def test_dift_finds_its_model_in_the_environment(stable_diffusion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGFLOW_DIFT", str(stable_diffusion))
    assert load_features("dift", device="cpu").name == "DIFT (sd-tiny)"


@pytest.mark.parametrize(("kind", "variable"), [("dift", "DRAGFLOW_DIFT"), ("dinov2", "DRAGFLOW_DINOV2")])
def test_without_a_model_the_way_to_name_one_is_said(kind: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=rf"{kind} need a model: name .* a folder or a hub id.*`model`.*\${variable}"):
        load_features(kind)
    with pytest.raises(UserError, match=r"model of features .* '/nowhere/at/all' is neither a folder nor a hub id"):
        load_features(kind, "/nowhere/at/all")


@pytest.mark.parametrize("part", ["scheduler", "tokenizer", "text_encoder", "vae", "unet"])
def test_a_part_that_dift_lacks_is_named(copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match=f"its {part} cannot be loaded"):
        load_features("dift", str(copy), "cpu")


def test_weights_that_are_missing_are_not_drawn_at_random(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["mid_block.resnets.0.conv1.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"unet .*mid_block\.resnets\.0\.conv1\.weight"):
        load_features("dift", str(copy), "cpu")


def test_damaged_weights_are_a_user_error(copy: Path, dinov2: Path, tmp_path: Path) -> None:
    (copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="its vae cannot be loaded"):
        load_features("dift", str(copy), "cpu")
    broken = Path(shutil.copytree(dinov2, tmp_path / "dino"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="its model cannot be loaded"):
        load_features("dinov2", str(broken), "cpu")


def test_a_unet_that_wants_other_text_is_refused(copy: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    shutil.rmtree(copy / "text_encoder")
    config = CLIPTextConfig(
        vocab_size=54, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    CLIPTextModel(config).save_pretrained(copy / "text_encoder")
    with pytest.raises(UserError, match=r"not a Stable Diffusion 1 or 2.*width 64.* takes 32"):
        load_features("dift", str(copy), "cpu")


def test_dinov2_gives_its_patch_tokens_as_a_grid(dinov2: Path) -> None:
    from transformers import Dinov2Model

    extractor = load_features("dinov2", str(dinov2), "cpu")
    assert (extractor.name, extractor.prompted) == ("DINOv2 (dino-tiny)", False)
    found = extractor(PICTURE, "a prompt")
    assert found.shape == (16, 5, 10)  # 70 x 150 is made 70 x 140
    model: Any = Dinov2Model.from_pretrained(dinov2)
    small = np.asarray(Image.fromarray(PICTURE).resize((140, 70), Image.Resampling.BICUBIC)) / 255
    small = (small - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        tokens = model(torch.tensor(small).permute(2, 0, 1)[None].float()).last_hidden_state[0]
    for row, column in [(0, 0), (2, 7), (4, 9)]:
        torch.testing.assert_close(found[:, row, column], tokens[1 + 10 * row + column])


def test_another_model_is_no_dinov2(stable_diffusion: Path) -> None:
    with pytest.raises(UserError, match=r"is a clip_text_model: a Dinov2Model is needed"):
        load_features("dinov2", str(stable_diffusion / "text_encoder"), "cpu")


def test_taps_are_the_backbones_features_on_the_noised_picture(dummy_folder: Path) -> None:
    from dragflow.backbones.registry import load_backbone

    extractor = load_features("taps", str(dummy_folder), "cpu")
    assert (extractor.name, extractor.prompted) == ("taps of flux-dummy", True)
    found = extractor(PICTURE[:64, :96], "a cat")
    backbone = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    with torch.no_grad():
        z = backbone.encode(torch.tensor(PICTURE[:64, :96]).permute(2, 0, 1)[None].float() / 255)
        cond = backbone.condition("a cat", guidance=1.0)
        generator = torch.Generator().manual_seed(0)
        runs = []
        for _ in range(8):
            noisy = 0.739 * z + 0.261 * torch.randn(z.shape, generator=generator)
            runs.append(torch.cat(backbone.features(noisy, 0.261, cond, taps=backbone.spec.taps), dim=1)[0])
    assert found.shape == (len(backbone.spec.taps) * 64, 4, 6)
    torch.testing.assert_close(found, torch.stack(runs).mean(0), rtol=1e-4, atol=1e-4)
    assert not found.requires_grad
    assert not torch.equal(found, extractor(PICTURE[:64, :96], ""))


def test_taps_of_a_picture_of_any_size_cover_it(dummy_folder: Path) -> None:
    assert load_features("taps", str(dummy_folder), "cpu")(PICTURE, "").shape[1:] == (4, 9)  # 70 x 150 is made 64 x 144


def test_unknown_features_are_refused() -> None:
    with pytest.raises(UserError, match="'clip' is not known: choose one of dift, dinov2, taps"):
        load_features("clip")


def test_an_unknown_device_is_refused(stable_diffusion: Path) -> None:
    with pytest.raises(UserError, match="device 'warp' is not available here"):
        load_features("dift", str(stable_diffusion), "warp")


def test_noise_is_the_same_for_every_picture_and_averaged() -> None:
    seen: list[torch.Tensor] = []

    def look(noise: torch.Tensor) -> torch.Tensor:
        seen.append(noise)
        return noise[0]

    z = torch.zeros(1, 2, 3, 4)
    mean = over_noise(z, 3, 7, look)
    over_noise(z + 1, 3, 7, look)
    assert torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(mean, torch.cat(seen[:3]).mean(0))
