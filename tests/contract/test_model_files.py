"""A model from files as they lie on disks computes what it computes from the folder of the same weights, to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dragflow.backbones.assemble import assemble
from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.registry import footprint, load_backbone
from dragflow.backbones.usual import usual_preset
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions
from gguf_files import write_packed
from model_files import (
    COMFY,
    autoencoder_original,
    flux1_original,
    prefixed,
    scaled_fp8,
    with_text_model,
)
from small_flux import TIME, error, gradient, latent, load

WEIGHTS = "diffusion_pytorch_model.safetensors"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 of width 256, which blocks of K-quants fill."""
    return write_dummy(tmp_path_factory.mktemp("base"), doubles=1, singles=1, heads=8)


@pytest.fixture(scope="module")
def tensors(base: Path) -> Tensors:
    return load_file(base / "transformer" / WEIGHTS)


def folder_of(base: Path, tensors: Tensors, to: Path) -> Path:
    """The model with these weights in diffusers layout."""
    shutil.copytree(base, to)
    save_file({name: x.contiguous() for name, x in tensors.items()}, to / "transformer" / WEIGHTS, {"format": "pt"})
    return to


def same(one: Flux1, other: Flux1) -> bool:
    """Whether velocities and gradients are equal to the bit."""
    conds = [model.condition("a cat", guidance=3.5) for model in (one, other)]
    z = latent()
    velocities = [model.velocity(z, TIME, cond) for model, cond in zip((one, other), conds, strict=True)]
    gradients = [gradient(model, z, cond) for model, cond in zip((one, other), conds, strict=True)]
    return torch.equal(*velocities) and torch.equal(*gradients)


PLAIN: dict[str, Callable[[Tensors], Tensors]] = {
    "diffusers": dict,
    "original": flux1_original,
    "ComfyUI": lambda tensors: prefixed(COMFY, flux1_original(tensors)),
    "ComfyUI, diffusers": lambda tensors: prefixed("diffusion_model.", tensors),
}
STORED = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "fp8": torch.float8_e4m3fn}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("layout", PLAIN)
def test_plain_files_are_the_folder_to_the_bit(
    layout: str, stored: str, base: Path, tensors: Tensors, tmp_path: Path
) -> None:
    kept = {name: x.to(STORED[stored]) for name, x in tensors.items()}
    save_file(PLAIN[layout](kept), tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors", parts=str(base), dtype="bfloat16")
    theirs = folder_of(base, {name: x.to(torch.bfloat16) for name, x in kept.items()}, tmp_path / "folder")
    assert same(found, load(theirs, dtype="bfloat16"))


@pytest.mark.parametrize("blocks", ["tensor", "row", "block"])
@pytest.mark.parametrize("names", ["scale_weight", "weight_scale"])
def test_scaled_fp8_is_the_folder_of_its_products(
    names: str, blocks: str, base: Path, tensors: Tensors, tmp_path: Path
) -> None:
    stored, exact = scaled_fp8(flux1_original(tensors), names, blocks)
    save_file(prefixed(COMFY, stored), tmp_path / "a.safetensors")
    save_file({name: x.bfloat16() for name, x in exact.items()}, tmp_path / "exact.safetensors")
    options = {"parts": str(base), "dtype": "bfloat16"}
    assert same(load(tmp_path / "a.safetensors", **options), load(tmp_path / "exact.safetensors", **options))
    plain = load(base, dtype="bfloat16")
    cond = plain.condition("a cat", guidance=3.5)
    assert (
        error(
            load(tmp_path / "a.safetensors", **options).velocity(latent(), TIME, cond),
            plain.velocity(latent(), TIME, cond),
        )
        < 0.1
    )


@pytest.mark.parametrize(
    "kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "BF16"]
)
def test_gguf_is_near_the_folder_of_what_it_stands_for(kind: str, base: Path, tensors: Tensors, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed (extra: quant)")
    exact = write_packed(tmp_path / "a.gguf", flux1_original(tensors), kind)
    save_file(exact, tmp_path / "exact.safetensors")
    found, plain = (load(tmp_path / name, parts=str(base)) for name in ("a.gguf", "exact.safetensors"))
    cond = plain.condition("a cat", guidance=3.5)
    assert error(found.velocity(latent(), TIME, cond), plain.velocity(latent(), TIME, cond)) < 1e-3


def test_the_configuration_is_the_one_that_fits(base: Path, tensors: Tensors, tmp_path: Path) -> None:
    """A folder of FLUX.1-dev gives the rest of a schnell, and a folder without a transformer that of any."""
    save_file(flux1_original(tensors), tmp_path / "a.safetensors")
    shutil.copytree(base, tmp_path / "parts")
    config = tmp_path / "parts" / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_layers": 5}))
    with pytest.raises(UserError, match=r"its transformer cannot be loaded \(tensor .* is missing"):
        load(tmp_path / "a.safetensors", parts=str(tmp_path / "parts"))


def change(tensors: Tensors, name: str, x: Tensor | None) -> Tensors:
    return {key: value for key, value in (tensors | {name: x}).items() if value is not None}


@pytest.mark.parametrize(
    ("name", "shape", "rule"),
    [
        ("img_in.weight", None, r"x_embedder\.weight is missing"),
        ("more.weight", (2, 2), r"more\.weight is unexpected"),
        ("img_in.bias", (3,), r"img_in\.bias has shape \(3,\)"),
        ("img_in.scale_weight", (), r"img_in\.weight of type F32 has the scale img_in\.scale_weight"),
    ],
)
def test_a_file_that_does_not_fit_names_the_tensor(
    name: str, shape: tuple[int, ...] | None, rule: str, base: Path, tensors: Tensors, tmp_path: Path
) -> None:
    wrong = change(flux1_original(tensors), name, None if shape is None else torch.ones(shape))
    save_file(wrong, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=rule):
        load(tmp_path / "a.safetensors", parts=str(base))


def test_what_is_needed_and_named_nowhere_is_said(
    base: Path, tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    save_file(flux1_original(tensors), tmp_path / "a.safetensors")
    with pytest.raises(
        UserError, match=r"comes without text_encoder \(CLIP-L\), .* tokenizers and scheduler: name by `parts`"
    ):
        load(tmp_path / "a.safetensors")
    vae = base / "vae" / WEIGHTS
    with pytest.raises(UserError, match="holds no transformer"):
        load(vae)
    with pytest.raises(UserError, match=r"`parts` .* is FLUX\.1"):
        load(tmp_path / "a.safetensors", parts=(str(base), str(tmp_path / "a.safetensors")))
    with pytest.raises(UserError, match="both are"):
        load(tmp_path / "a.safetensors", parts=(str(base), str(vae), str(vae)))
    with pytest.raises(UserError, match="give one folder or hub id"):
        load(tmp_path / "a.safetensors", parts=(str(base), "owner/name"))
    with pytest.raises(UserError, match="`parts` has no effect here"):
        load(base, parts=(str(vae),))


def test_other_weights_in_a_file_are_another_fingerprint(base: Path, tensors: Tensors, tmp_path: Path) -> None:
    for name, factor in (("a", 1), ("b", -1), ("c", 1)):
        save_file(flux1_original({key: factor * x for key, x in tensors.items()}), tmp_path / f"{name}.safetensors")
    a, b, c = (load(tmp_path / f"{name}.safetensors", parts=str(base)).weights.fingerprint for name in "abc")
    assert a == c != b
    vae = tmp_path / "vae.safetensors"
    save_file({name: -x for name, x in load_file(base / "vae" / WEIGHTS).items()}, vae)
    assert load(tmp_path / "a.safetensors", parts=(str(base), str(vae))).weights.fingerprint != a


def test_values_are_what_numpy_reads(tensors: Tensors) -> None:
    """The writers of this test write what they say."""
    stored, exact = scaled_fp8({"a.weight": tensors["x_embedder.weight"]}, "scale_weight", "tensor")
    assert np.allclose(exact["a.weight"].numpy(), tensors["x_embedder.weight"].numpy(), atol=0.05)
    assert stored["a.weight"].dtype == torch.float8_e4m3fn


@pytest.mark.parametrize("guidance", [True, False], ids=["dev", "schnell"])
def test_what_serves_a_file_best_is_told_before_it_is_loaded(guidance: bool, tmp_path: Path) -> None:
    folder = write_dummy(tmp_path / "folder", doubles=1, singles=1, guidance=guidance)
    save_file(flux1_original(load_file(folder / "transformer" / WEIGHTS)), tmp_path / "a.safetensors")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if not guidance:
        scheduler.write_text(
            json.dumps(json.loads(scheduler.read_text()) | {"use_dynamic_shifting": False, "shift": 1.0})
        )
    options = ModelOptions.of(tmp_path / "a.safetensors", parts=str(folder), device="cpu")
    assert usual_preset(options) == load_backbone(options).spec.preset == ("default" if guidance else "turbo")
    assert footprint(options).transformer > 1e10


def test_the_folder_tells_kontext_from_dev(tensors: Tensors, tmp_path: Path) -> None:
    folder = write_dummy(tmp_path / "folder", doubles=1, singles=1, heads=8, pipeline="FluxKontextPipeline")
    save_file(flux1_original(tensors), tmp_path / "a.safetensors")
    found = load_backbone(ModelOptions.of(tmp_path / "a.safetensors", parts=folder, device="cpu"))
    assert found.spec.family == "flux1-kontext"
    assert usual_preset(found.weights.options) == "instant"


def test_fill_is_told_by_its_channels(base: Path, fill_folder: Path, tmp_path: Path) -> None:
    save_file(flux1_original(load_file(fill_folder / "transformer" / WEIGHTS)), tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors", parts=str(fill_folder))
    assert found.spec.family == "flux1-fill"
    assert usual_preset(found.weights.options) == "fill"
    with pytest.raises(UserError, match=r"of a FluxPipeline, and .* is FLUX\.1 \(Fill\): name those of a FluxFill"):
        load(tmp_path / "a.safetensors", parts=str(base))


def test_canny_is_refused_by_name(base: Path, tensors: Tensors, tmp_path: Path) -> None:
    wide = tensors | {"x_embedder.weight": tensors["x_embedder.weight"].repeat(1, 2)}
    save_file(flux1_original(wide), tmp_path / "a.safetensors")
    with pytest.raises(CapabilityError, match=r"is FLUX\.1 \(Canny or Depth\), which dragflow does not edit with"):
        load(tmp_path / "a.safetensors", parts=str(base))


@pytest.fixture
def root(base: Path, tensors: Tensors, tmp_path: Path) -> Path:
    """A folder as ComfyUI's `models`, with FLUX.1 in files."""
    root = tmp_path / "models"
    clip = with_text_model(load_file(base / "text_encoder" / "model.safetensors"))
    held = {
        "diffusion_models/flux": flux1_original(tensors),
        "text_encoders/clip_l": clip,
        "text_encoders/t5xxl": load_file(base / "text_encoder_2" / "model.safetensors"),
        "vae/ae": autoencoder_original(load_file(base / "vae" / WEIGHTS)),
    }
    for name, each in held.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(each, root / f"{name}.safetensors")
    (root / "vae" / "broken.safetensors").write_bytes(b"")
    return root


def without_weights(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors")))


def test_a_model_root_gives_what_is_missing(
    base: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, shell = root / "diffusion_models" / "flux.safetensors", str(without_weights(base, tmp_path / "shell"))
    found = load(model, parts=shell, model_root=str(root), dtype="bfloat16")
    assert same(found, load(base, dtype="bfloat16"))
    options, files = found.weights.options, ("text_encoders/clip_l", "text_encoders/t5xxl", "vae/ae")
    assert options.parts == (shell, *(str(root / f"{name}.safetensors") for name in files))
    assert options.model_root == ()
    assert f"the vae is taken from {root / 'vae' / 'ae.safetensors'}, autoencoder of FLUX.1 or SD3" in caplog.text
    monkeypatch.setenv("DRAGFLOW_MODEL_ROOT", str(root))
    assert load(model, parts=shell, dtype="bfloat16").weights == found.weights
    shutil.copy(root / "vae" / "ae.safetensors", root / "vae" / "other.safetensors")
    with pytest.raises(UserError, match=r"`model_root` has .*ae\.safetensors and .*other\.safetensors as vae: name"):
        load(model, parts=shell)
    named = (shell, str(root / "vae" / "ae.safetensors"))
    assert same(load(model, parts=named, dtype="bfloat16"), found)


def test_a_folder_in_diffusers_layout_in_a_model_root_gives_the_rest(base: Path, root: Path) -> None:
    model = root / "diffusion_models" / "flux.safetensors"
    folder = without_weights(base, root / "diffusers" / "flux")
    options = ModelOptions.of(model, model_root=root, device="cpu")
    found = load_backbone(options)
    assert found.weights.options.parts[0] == str(folder)
    assert usual_preset(options) == found.spec.preset
    without_weights(base, root / "diffusers" / "other")
    with pytest.raises(UserError, match=r"`model_root` has .*flux and .*other for tokenizers and scheduler: name"):
        load(model, model_root=str(root))


def test_a_model_root_is_named_by_its_own_option(base: Path, root: Path) -> None:
    with pytest.raises(
        UserError, match=r"`parts` .* has no model_index\.json: name a folder of model files by `model_r"
    ):
        load(root / "diffusion_models" / "flux.safetensors", parts=str(root))
    with pytest.raises(UserError, match="`model_root` has no effect here"):
        load(base, model_root=str(root))


def test_the_rest_of_schnell_is_not_devs(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are in the hub's cache, and their schedulers differ."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    kept = {"FLUX.1-dev": base, "FLUX.1-schnell": write_dummy(tmp_path / "fast", guidance=False, shifted=False)}
    for name, folder in kept.items():
        place = cache / f"models--black-forest-labs--{name}"
        shutil.copytree(folder, place / "snapshots" / ("0" * 40))
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("0" * 40)
    fast = write_dummy(tmp_path / "small", doubles=1, singles=1, guidance=False)
    for name, folder in {"FLUX.1-dev": base, "FLUX.1-schnell": fast}.items():
        save_file(flux1_original(load_file(folder / "transformer" / WEIGHTS)), tmp_path / f"{name}.safetensors")
        options = ModelOptions.of(tmp_path / f"{name}.safetensors")
        assert assemble(options).options.parts == (f"black-forest-labs/{name}",)
        assert usual_preset(options) == {"FLUX.1-dev": "default", "FLUX.1-schnell": "turbo"}[name]
