"""FLUX.2 against diffusers' own pipelines: what their transformer is given, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dragflow.backbones.flux2.layout import flat, in_rows, time_shift
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import footprint, load_backbone
from dragflow.core.config import InversionConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from dragflow.method.references import in_place
from small_flux import error
from small_flux2 import dev_pipeline, write_flux2, write_flux2_dev
from watched import watched

H, W, STEPS, SCALE = 64, 80, 4, 3.0
PROMPT = "put the red ball beside the tree"
TOLERANCE = 1e-5


KINDS: dict[str, Callable[[Path], Path]] = {
    "klein": write_flux2,
    "klein, base": lambda folder: write_flux2(folder, distilled=False),
    "dev": write_flux2_dev,
    "dev without guidance": lambda folder: write_flux2_dev(folder, guidance=False),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[kind](tmp_path_factory.mktemp("flux2") / "model")


@pytest.fixture(scope="module")
def ours(model: Path) -> PipelineBackbone:
    loaded = load_backbone(ModelOptions.of(model, device="cpu"))
    assert isinstance(loaded, PipelineBackbone)
    return loaded


@pytest.fixture(scope="module")
def theirs(kind: str, model: Path) -> Any:
    import diffusers

    if kind.startswith("dev"):
        return dev_pipeline(model)
    pipe = diffusers.Flux2KleinPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)) for _ in range(count)]


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def length_of(pipe: Any) -> int:
    """Of the small tokenizers, which is less than the pipelines' own."""
    return getattr(pipe.tokenizer, "tokenizer", pipe.tokenizer).model_max_length


def run(pipe: Any, count: int) -> tuple[list[dict[str, Any]], list[tuple[Tensor, Tensor]]]:
    """What the transformer was given in every call; latents and velocities of every step."""
    given: list[dict[str, Any]] = []
    hook = pipe.transformer.register_forward_pre_hook(lambda _, __, more: given.append(more), with_kwargs=True)
    with watched(pipe) as seen:
        pipe(
            image=pictures(count) or None, prompt=PROMPT, height=H, width=W, num_inference_steps=STEPS,
            guidance_scale=SCALE, generator=torch.Generator().manual_seed(0), max_sequence_length=length_of(pipe),
            output_type="latent",
        )  # fmt: skip
    hook.remove()
    return given, seen


@pytest.mark.parametrize("count", [0, 1, 2])
def test_every_step_is_the_pipelines(count: int, ours: PipelineBackbone, theirs: Any) -> None:
    given, seen = run(theirs, count)
    grid = (H // 16, W // 16)
    references = tuple(in_place(ours.encode(as_tensor(p)), grid, i) for i, p in enumerate(pictures(count), 1))
    cond = ours.condition(PROMPT, references=references, guidance=SCALE)
    times = ours.schedule(InversionConfig(STEPS, 1), grid).times
    assert len(given) == STEPS * (2 if ours.spec.guidance == "classifier-free" else 1)
    for i, (z, v) in enumerate(seen):
        call = given[i * len(given) // STEPS]
        assert float(call["timestep"]) == pytest.approx(times[i], abs=1e-6)
        assert error(ours.velocity(in_rows(z, *grid), float(call["timestep"]), cond), in_rows(v, *grid)) < TOLERANCE


def test_the_autoencoder_is_normalised_as_the_pipeline_does(ours: PipelineBackbone, theirs: Any) -> None:
    picture = as_tensor(pictures(1)[0])
    with torch.no_grad():
        z = theirs._encode_vae_image(picture * 2 - 1, generator=torch.Generator())
        assert error(ours.encode(picture), z) < TOLERANCE
        mean = theirs.vae.bn.running_mean.view(1, -1, 1, 1)
        deviation = torch.sqrt(theirs.vae.bn.running_var.view(1, -1, 1, 1) + theirs.vae.config.batch_norm_eps)
        decoded = theirs.vae.decode(theirs._unpatchify_latents(z * deviation + mean)).sample
    assert error(ours.decode(z), (decoded / 2 + 0.5).clamp(0, 1)) < TOLERANCE


def test_latents_lie_as_tokens_do() -> None:
    z = torch.randn(2, 5, 3, 4)
    assert torch.equal(in_rows(flat(z), 3, 4), z)
    assert torch.equal(flat(z)[:, 4 * 2 + 1], z[:, :, 2, 1])


@pytest.mark.parametrize("tokens", [16, 1024, 4096, 4300, 4301, 9000])
@pytest.mark.parametrize("steps", [1, 4, 10, 25, 200])
def test_the_time_shift_is_the_pipelines(tokens: int, steps: int) -> None:
    from diffusers.pipelines.flux2 import pipeline_flux2, pipeline_flux2_klein

    for theirs in (pipeline_flux2, pipeline_flux2_klein):
        assert time_shift(tokens, steps) == pytest.approx(theirs.compute_empirical_mu(tokens, steps), abs=1e-9)


def test_each_is_led_in_its_own_way(kind: str, ours: PipelineBackbone) -> None:
    ways = {"klein": "none", "klein, base": "classifier-free", "dev": "embedded", "dev without guidance": "none"}
    assert ours.spec.guidance == ways[kind]
    assert ours.spec.distilled == (kind == "klein")
    assert ours.spec.preset == "instant"
    assert ours.spec.prompts == "instructions"


def test_a_subject_is_refused(ours: PipelineBackbone) -> None:
    with pytest.raises(CapabilityError, match=f"family {ours.spec.family} take none"):
        ours.condition("", subject=object(), guidance=1.0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "transformer", "others"),
    [
        ("black-forest-labs/FLUX.2-klein-4B", 3.88e9, 4.1e9),
        ("black-forest-labs/FLUX.2-klein-base-9B", 9.08e9, 8.3e9),
        ("black-forest-labs/FLUX.2-dev", 32.2e9, 17.4e9),  # 30 of 40 layers of the text encoder
    ],
)
def test_published_weights_are_counted_without_a_download(
    name: str, transformer: float, others: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = footprint(ModelOptions.of(name))
    assert found.model == name
    assert found.transformer == pytest.approx(transformer, rel=0.01)
    assert found.others == pytest.approx(others, rel=0.02)
    assert found.pixel_multiple == 16


@pytest.mark.parametrize(
    ("write", "part", "change", "words"),
    [
        (write_flux2, "transformer", {"in_channels": 12}, "4 latent_channels of the vae"),
        (write_flux2, "transformer", {"axes_dims_rope": [8, 8, 16]}, "four even numbers"),
        (write_flux2, "transformer", {"guidance_embeds": True}, "klein has none"),
        (write_flux2, "text_encoder", {"num_hidden_layers": 20}, "it must be 27 or more"),
        (write_flux2_dev, "text_encoder", {"text_config": {"num_hidden_layers": 29}}, "it must be 30 or more"),
        (write_flux2_dev, "text_encoder", {"text_config": {"hidden_size": 64}}, "3 times hidden_size of text_encoder"),
        (write_flux2, "vae", {"_class_name": "AutoencoderKL"}, "is a AutoencoderKL: AutoencoderKLFlux2 is needed"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    write: Callable[[Path], Path], part: str, change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    import json

    folder = write(tmp_path / "model")
    path = folder / part / "config.json"
    config = json.loads(path.read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=words):
        load_backbone(ModelOptions.of(folder, device="cpu"))
