"""Models that cannot be loaded say which part, which value and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from family_cases import FamilyCase
from safetensors.torch import load_file, save_file

from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import ModelOptions


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def held_as(tensor: str, names: Iterable[str]) -> str:
    """What a file calls a tensor of the network, which may be half of what the file holds."""
    return tensor if tensor in names else next(name for name in names if name.endswith(f".{tensor}"))


def test_a_missing_part_is_named(family: FamilyCase, copy: Path) -> None:
    for part in family.layout.parts:
        (copy / part).rename(copy / "hidden")
        with pytest.raises(UserError, match=f" {part}/"):
            load_backbone(ModelOptions.of(copy, device="cpu"))
        (copy / "hidden").rename(copy / part)


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("transformer/diffusion_pytorch_model.safetensors", "transformer"),
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("text_encoder/model.safetensors", "text_encoder"),
        ("transformer/config.json", "config.json"),
    ],
)
def test_a_part_without_its_file_is_a_user_error(file: str, word: str, copy: Path) -> None:
    (copy / file).unlink()
    with pytest.raises(UserError, match=word):
        load_backbone(ModelOptions.of(copy, device="cpu"))


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_damaged_weights_are_a_user_error(part: str, copy: Path) -> None:
    weights = copy / part / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_weights_that_are_missing_are_never_made_up(family: FamilyCase, copy: Path) -> None:
    assert {file.partition("/")[0] for file, _ in family.missing} == set(family.layout.networks)
    for file, tensor in family.missing:
        tensors = load_file(copy / file)
        held = held_as(tensor, tensors)
        save_file({name: x for name, x in tensors.items() if name != held}, copy / file, metadata={"format": "pt"})
        with pytest.raises(
            UserError, match=rf"its {file.partition('/')[0]} .* tensor {tensor} is missing \(one of 1\)"
        ):
            load_backbone(ModelOptions.of(copy, device="cpu"))
        save_file(tensors, copy / file, metadata={"format": "pt"})


def test_a_model_without_its_index_says_what_a_folder_must_hold(copy: Path) -> None:
    (copy / "model_index.json").unlink()
    with pytest.raises(UserError, match=r"model_index\.json"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3"])
def test_a_damaged_index_is_a_user_error(text: str, copy: Path) -> None:
    (copy / "model_index.json").write_text(text)
    with pytest.raises(UserError, match=r"model_index\.json"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_another_pipeline_is_refused_by_name(copy: Path) -> None:
    rewrite(copy / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(CapabilityError, match="StableDiffusionPipeline"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_another_transformer_is_refused_by_name(copy: Path) -> None:
    rewrite(copy / "transformer" / "config.json", _class_name="OtherTransformer2DModel")
    with pytest.raises(UserError, match="OtherTransformer2DModel"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_the_autoencoder_of_another_family_is_refused_by_name(family: FamilyCase, copy: Path) -> None:
    for name in ("AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderKLQwenImage", "AutoencoderKLWan", "os"):
        if name not in family.layout.autoencoders:
            (copy / "vae" / "config.json").write_text(json.dumps({"_class_name": name}))
            with pytest.raises(UserError, match=f"vae of the model is a {name}: Autoencoder.* is needed"):
                family.load(copy)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_transformer_config_is_a_user_error(text: str, copy: Path) -> None:
    (copy / "transformer" / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"quantize": "int3"}, "int3"),
        ({"quantize": "gguf:no-such.gguf"}, "no-such.gguf"),
        ({"device": "tpu9"}, "tpu9"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"dtype": "float8"}, "float8"),
        ({"lora": ("no-such.safetensors:0.5",)}, "no-such.safetensors"),
    ],
)
def test_an_unknown_choice_is_named(options: dict[str, Any], word: str, folder: Path) -> None:
    with pytest.raises(UserError, match=word):
        load_backbone(ModelOptions.of(folder, **{"device": "cpu", **options}))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("model", ["/no/such/folder", "./none", "plainname", "a/b/c"])
def test_what_is_no_folder_and_no_hub_id_is_refused(model: str) -> None:
    with pytest.raises(UserError, match=model):
        load_backbone(ModelOptions.of(model, device="cpu"))


def test_weights_through_which_no_gradient_flows_are_refused(family: FamilyCase, copy: Path) -> None:
    """A model whose image projection is zero gives the latent no gradient."""
    import torch

    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    weight = f"{family.embedder}.weight"
    tensors[weight] = torch.zeros_like(tensors[weight])
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(CapabilityError, match="gradient"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_weights_that_give_nan_are_refused(family: FamilyCase, copy: Path) -> None:
    import torch

    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    weight = f"{family.embedder}.weight"
    tensors[weight] = torch.full_like(tensors[weight], float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(CapabilityError, match="gradient"):
        load_backbone(ModelOptions.of(copy, device="cpu"))


def test_a_file_that_is_no_lora_is_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    save_file({"something.else": torch.zeros(2, 2)}, tmp_path / "style.safetensors")
    with pytest.raises(UserError, match=r"style\.safetensors"):
        load_backbone(ModelOptions.of(folder, device="cpu", lora=(str(tmp_path / "style.safetensors"),)))


def test_other_weights_have_another_fingerprint(family: FamilyCase, folder: Path, copy: Path) -> None:
    from dragflow.backbones.fingerprint import fingerprint

    assert fingerprint(copy) == fingerprint(folder)
    file, tensor = family.missing[0]
    tensors = load_file(copy / file)
    tensors[tensor] += 1
    save_file(tensors, copy / file, metadata={"format": "pt"})
    assert fingerprint(copy) != fingerprint(folder)
