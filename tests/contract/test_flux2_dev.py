"""FLUX.2 dev's text encoder and tokenizer: what is read of them, from folders and from files as they lie on disks."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dragflow.backbones.configs import empty_network
from dragflow.backbones.flux2_dev.published import published
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.pipeline_layout import network_class
from dragflow.backbones.registry import load_backbone, wrap_pipeline
from dragflow.backbones.usual import usual_preset
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from model_files import COMFY, flux2_original, mistral_of_comfyui, prefixed
from small_flux2 import dev_pipeline, write_flux2_dev

PROMPT = "put the red ball beside the tree"
ENCODER = Path("text_encoder") / "model.safetensors"
DIFFUSERS = "diffusion_pytorch_model.safetensors"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux2_dev(tmp_path_factory.mktemp("dev") / "model")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Tensor:
    """The prompt as the library's own pipeline gives it to the transformer."""
    with torch.no_grad():
        return dev_pipeline(folder).encode_prompt(PROMPT, max_sequence_length=256)[0]


def load(model: Path, **options: Any) -> PipelineBackbone:
    loaded = load_backbone(ModelOptions.of(model, **{"device": "cpu", **options}))
    assert isinstance(loaded, PipelineBackbone)
    return loaded


def tokens(model: PipelineBackbone) -> Tensor:
    return model.condition(PROMPT, guidance=4.0).text.tokens


def of_transformers_5(held: Mapping[str, Tensor]) -> Tensors:
    """The names that a `Mistral3ForConditionalGeneration` has in memory."""
    names = {name: re.sub(r"^language_model\.(model\.)?", r"\1language_model.", name) for name in held}
    names = {name: new if new.startswith("model.") else f"model.{new}" for name, new in names.items()}
    return {new.replace("model.language_model.lm_head", "lm_head"): held[name] for name, new in names.items()}


@pytest.mark.parametrize("layout", [dict, of_transformers_5], ids=["published", "transformers 5"])
def test_every_tensor_of_the_encoder_is_read_or_named(
    layout: Callable[[Tensors], Tensors], copy: Path, theirs: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    held = load_file(copy / ENCODER)
    save_file(layout(held), copy / ENCODER, {"format": "pt"})
    with caplog.at_level(logging.INFO, "dragflow.backbones.parts"):
        model = load(copy)
    assert torch.equal(tokens(model), theirs)
    read = model.pipeline.text_encoder.state_dict()
    assert f"{len(held) - len(read)} tensors beside its text_encoder are left out: layers.30." in caplog.text
    assert {name.split(".")[1] for name in read if name.startswith("layers.")} == {str(i) for i in range(30)}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("language_model.model.layers.3.extra.weight", "layers.3.extra.weight"),
        ("audio_tower.weight", "audio_tower.weight"),
    ],
)
def test_a_tensor_that_is_of_neither_half_is_refused(name: str, shown: str, copy: Path) -> None:
    save_file(load_file(copy / ENCODER) | {name: torch.zeros(3)}, copy / ENCODER, {"format": "pt"})
    with pytest.raises(UserError, match=f"its text_encoder .* tensor {shown} is unexpected"):
        load(copy)


def test_files_as_comfyui_has_them_are_the_folder(folder: Path, copy: Path, theirs: Tensor, tmp_path: Path) -> None:
    transformer = load_file(folder / "transformer" / DIFFUSERS)
    save_file(prefixed(COMFY, flux2_original(transformer)), tmp_path / "flux2-dev.safetensors")
    save_file(mistral_of_comfyui(load_file(folder / ENCODER)), tmp_path / "mistral.safetensors")
    save_file(load_file(folder / "vae" / DIFFUSERS), tmp_path / "vae.safetensors")
    for file in copy.rglob("*.safetensors"):
        file.unlink()
    parts = (str(copy), str(tmp_path / "mistral.safetensors"), str(tmp_path / "vae.safetensors"))
    found, plain = load(tmp_path / "flux2-dev.safetensors", parts=parts), load(folder)
    assert torch.equal(tokens(found), theirs)
    held, needed = (model.transformer.state_dict() for model in (found, plain))
    assert held.keys() == needed.keys()
    assert all(torch.equal(held[name], x) for name, x in needed.items())
    z = torch.randn(1, found.spec.latent_channels, 4, 4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found.decode(z), plain.decode(z))
    assert usual_preset(ModelOptions.of(tmp_path / "flux2-dev.safetensors", parts=parts)) == "instant"


def test_a_loaded_pipeline_with_its_processor_is_wrapped(folder: Path, theirs: Tensor) -> None:
    wrapped = wrap_pipeline(dev_pipeline(folder), ModelOptions())
    assert isinstance(wrapped, PipelineBackbone)
    assert torch.equal(tokens(wrapped), theirs)


def test_guidance_is_told_to_the_model(folder: Path) -> None:
    model = load(folder)
    z = torch.randn(1, model.spec.latent_channels, 4, 4, generator=torch.Generator().manual_seed(3))
    one, other = (model.velocity(z, 0.7, model.condition(PROMPT, guidance=scale)) for scale in (1.0, 4.0))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("file", "setting"), [("chat_template.jinja", None), ("tokenizer_config.json", "pad_token")])
def test_a_tokenizer_that_makes_no_prompts_is_refused(file: str, setting: str | None, copy: Path) -> None:
    path = copy / "tokenizer" / file
    if setting is None:
        path.unlink()
    else:
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != setting}))
    with pytest.raises(UserError, match="its tokenizer cannot be loaded"):
        load(copy)


def test_the_published_encoder_is_counted_with_what_is_left_out() -> None:
    """24 B, of which 30 of 40 layers and the embedding are read."""
    import transformers

    from dragflow.backbones.flux2_dev.encoder import PromptLayers
    from dragflow.backbones.flux2_dev.load import LAYOUT

    config = {**published("black-forest-labs/FLUX.2-dev")["text_encoder"], "tie_word_embeddings": False}
    whole = empty_network(transformers.Mistral3ForConditionalGeneration, config)
    read = empty_network(network_class(LAYOUT, "text_encoder", config), config)
    counts = [sum(x.numel() for x in network.parameters()) for network in (whole, read)]
    assert counts == [pytest.approx(24.01e9, rel=1e-3), pytest.approx(17.34e9, rel=1e-3)]
    ((pattern, text),) = PromptLayers.key_mapping.items()
    names = {re.sub(pattern, text, name) for name in whole.state_dict()}
    beside = names - read.state_dict().keys()
    assert len(names) == len(whole.state_dict())
    assert all(name.startswith(PromptLayers.left_out) for name in beside)
    assert not any(name.startswith(PromptLayers.left_out) for name in names - beside)
