"""Z-Image against diffusers' own pipeline: what its transformer is given, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.backbones.packing import pack_last, unpack_last
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import footprint, load_backbone
from dragflow.backbones.usual import usual_preset
from dragflow.backbones.z_image.layout import image_ids
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import Site
from small_flux import error
from small_z_image import write_z_image
from watched import watched

H, W, STEPS = 48, 80, 4
PROMPT = "a red ball beside a tree"
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=[False, True], ids=["base", "turbo"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_z_image(tmp_path_factory.mktemp("z-image") / "model", turbo=request.param)


@pytest.fixture(scope="module")
def ours(folder: Path) -> PipelineBackbone:
    loaded = load_backbone(ModelOptions.of(folder, device="cpu"))
    assert isinstance(loaded, PipelineBackbone)
    return loaded


def steps(folder: Path, scale: float) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Times that the transformer was given; latents and velocities of every step of the library's pipeline."""
    import diffusers

    pipe = diffusers.ZImagePipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    times: list[Tensor] = []
    hook = pipe.transformer.register_forward_pre_hook(lambda _, args: times.append(args[1]))
    with watched(pipe) as seen:
        pipe(
            PROMPT, H, W, num_inference_steps=STEPS, guidance_scale=scale, max_sequence_length=96,
            generator=torch.Generator().manual_seed(0), output_type="latent",
        )  # fmt: skip
    hook.remove()
    return times, seen


@pytest.mark.parametrize("scale", [0.0, 2.5])
def test_every_step_is_the_pipelines(scale: float, ours: PipelineBackbone, folder: Path) -> None:
    """The pipeline's scale is what is added to the prompt's own answer, ours what is added to the other's."""
    if scale and ours.spec.distilled:
        pytest.skip("Turbo takes no guidance")
    times, seen = steps(folder, scale)
    cond = ours.condition(PROMPT, guidance=1 + scale)
    grid = ours.schedule(InversionConfig(STEPS, 1), (H // 8, W // 8)).times
    assert len(seen) == STEPS
    for i, (z, v) in enumerate(seen):
        assert 1 - float(times[i][0]) == pytest.approx(grid[i], abs=1e-6)
        assert error(ours.velocity(z, 1 - float(times[i][0]), cond), v) < TOLERANCE


def test_a_picture_is_encoded_as_in_the_pipeline(
    ours: PipelineBackbone, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the draw: ours is the mode of what the encoder gives."""
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda of, generator=None: of.mode())
    pipe: Any = diffusers.ZImageImg2ImgPipeline.from_pretrained(folder)
    monkeypatch.setattr(pipe.scheduler, "scale_noise", lambda z, t, noise: z)
    picture = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = pipe.prepare_latents(picture * 2 - 1, None, 1, 16, H, W, torch.float32, "cpu", None)
    assert error(ours.encode(picture), z) < TOLERANCE


def test_a_latent_is_decoded_as_in_the_pipeline(ours: PipelineBackbone, folder: Path) -> None:
    import diffusers

    pipe: Any = diffusers.ZImagePipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    start = torch.randn(1, 16, H // 8, W // 8, generator=torch.Generator().manual_seed(0))
    z, picture = (
        pipe(PROMPT, H, W, num_inference_steps=1, guidance_scale=0.0, latents=start, output_type=kind).images
        for kind in ("latent", "pt")
    )
    assert error(ours.decode(z), picture) < TOLERANCE


def test_what_is_distilled_is_not_led_and_drawn_in_few_steps(ours: PipelineBackbone, folder: Path) -> None:
    assert ours.spec.guidance == ("none" if ours.spec.distilled else "classifier-free")
    assert ours.spec.preset == usual_preset(ModelOptions.of(folder)) == ("turbo" if ours.spec.distilled else "default")


def test_tokens_that_pad_the_image_are_never_shown(ours: PipelineBackbone) -> None:
    """15 tokens are padded to 32, and the model attends to those, too."""
    seen: list[int] = []

    class Watch:
        blocks = frozenset(ours.spec.blocks)

        def __call__(self, site: Site, x: Tensor) -> Tensor:
            seen.append(x.shape[1])
            return x

    z = torch.randn(1, 16, H // 8, W // 8)
    ours.velocity(z, 0.5, ours.condition("", guidance=1.0), kv=Watch())
    assert set(seen) == {(H // 16) * (W // 16)}


def test_where_tokens_are() -> None:
    ids = image_ids(3, 5, 20, torch.device("cpu"))  # 20 are padded to 32
    assert ids.shape == (32, 3)
    assert ids[7].tolist() == [33, 1, 2]
    assert ids[15:].eq(0).all()
    z = torch.randn(2, 3, 4, 6)
    assert torch.equal(unpack_last(pack_last(z), 2, 3), z)
    assert torch.equal(pack_last(z)[:, 4, :3], z[:, :, 2, 2])


def test_a_subject_is_refused(ours: PipelineBackbone) -> None:
    with pytest.raises(CapabilityError, match="family z-image take none"):
        ours.condition("", subject=object(), guidance=1.0)  # pyright: ignore[reportArgumentType]


def test_published_weights_are_counted_without_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = footprint(ModelOptions.of("Tongyi-MAI/Z-Image-Turbo"))
    assert found.model == "Tongyi-MAI/Z-Image-Turbo"
    assert found.transformer == pytest.approx(6.15e9, rel=0.01)
    assert found.others == pytest.approx(4.1e9, rel=0.02)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("transformer", "in_channels", 8, "the latent_channels of the vae"),
        ("transformer", "axes_dims", [8, 8, 8], "three even numbers"),
        ("transformer", "siglip_feat_dim", 16, "models that see pictures"),
        ("transformer", "cap_feat_dim", 48, "hidden_size of text_encoder"),
        ("vae", "scaling_factor", 0, "it must not be 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(part: str, key: str, value: Any, words: str, tmp_path: Path) -> None:
    import json

    folder = write_z_image(tmp_path / "model")
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=words):
        load_backbone(ModelOptions.of(folder, device="cpu"))
