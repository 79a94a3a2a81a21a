"""Bridges as a LoRA: they learn, resume and load exactly, leave the model as it was, and say what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.fingerprint import transformer_fingerprint
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras, lora_layout, trainable_lora
from dragflow.backbones.lora_bridge import (
    LoraBridge,
    correction,
    read_lora_bridge,
    trainable_bridge,
    write_lora_bridge,
)
from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import Cancelled, CapabilityError, UserError
from dragflow.core.events import Event, Stepped
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Operation
from dragflow.editor.editor import Editor
from dragflow.lora.files import partial
from dragflow.method.backbone import Backbone
from dragflow.pixels.preview import draw_preview
from dragflow.train.config import LoraBridgeConfig
from dragflow.train.lora_bridge import check_trainable, loss_of, pairs_for, train_bridge
from dragflow.train.pairs import MANIFEST, Scenes

CONFIG = LoraBridgeConfig(rank=2, steps=3, batch=1, size=64, held_out=1)


@pytest.fixture(scope="module")
def backbone(dummy_folder: Path) -> Flux1:
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    assert isinstance(loaded, Flux1)
    return loaded


@pytest.fixture(scope="module")
def fingerprint(dummy_folder: Path) -> str:
    return transformer_fingerprint(dummy_folder)


@pytest.fixture(scope="module")
def made(backbone: Flux1, fingerprint: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
    """A bridge with weights as after a training, and its velocity where it was made."""
    path = tmp_path_factory.mktemp("bridge") / "lora.safetensors"
    with trainable_bridge(backbone, rank=2, seed=0) as (model, weights):
        shaken(weights)
        with torch.no_grad():
            v = correction(model, latent())
        write_lora_bridge(path, model, fingerprint, {})
    return path, v


@pytest.fixture(scope="module")
def lora(backbone: Flux1, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the user's."""
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    with trainable_lora(backbone, rank=2, alpha=2, modules=["to_q", "to_v"], seed=1) as weights:
        shaken(weights)
        tensors, about = lora_layout(backbone)
        save_file(tensors, path, about)
    return path


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    found = Scenes(1, CONFIG.size + 16)
    found.take([0])
    return found


@pytest.fixture(autouse=True)
def same_scenes(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """All trainings are of one scene, which is drawn once; it serves as the unseen one too."""
    monkeypatch.setattr("dragflow.train.lora_bridge.Scenes", lambda count, size, split="train": Cropped(scenes, size))


class Cropped:
    """Pairs of a side."""

    def __init__(self, scenes: Scenes, size: int) -> None:
        self.scenes, self.size = scenes, size

    def __len__(self) -> int:
        return len(self.scenes)

    def take(self, places: Any) -> Any:
        return self.scenes.take(places).map(lambda x: x[:, : self.size, : self.size])


def shaken(weights: dict[str, nn.Parameter]) -> None:
    draw = torch.Generator().manual_seed(2)
    for weight in weights.values():
        weight.data += 0.1 * torch.randn(weight.shape, generator=draw)


def latent() -> Tensor:
    return torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))


def velocity(backbone: Backbone) -> Tensor:
    return backbone.velocity(latent(), 0.6, backbone.condition("a cat", guidance=1.0))


def says(bridge: Any) -> Tensor:
    return bridge(latent(), latent(), torch.zeros(1, 3, 8, 8))


def stop_after(step: int) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == "train" and event.index == step:
            raise Cancelled

    return observe


@pytest.mark.slow
def test_a_bridge_learns_and_its_model_stays(backbone: Flux1, fingerprint: str, scenes: Scenes, tmp_path: Path) -> None:
    """The dummy's latents are small, and so is the rate."""
    file, before = tmp_path / "bridge.safetensors", velocity(backbone)
    config = replace(CONFIG, rank=8, steps=24, batch=2, rate=1e-5)

    def objective(model: Any) -> float:
        with torch.no_grad():
            loss = loss_of(model, config, scenes)
            return float(np.mean([loss(step).item() for step in range(6)]))

    with trainable_bridge(backbone, rank=8, seed=0) as (model, _):
        untrained = objective(model)
    trained = train_bridge(backbone, config, to=file)
    assert len(trained.losses) == 24
    learnt = objective(read_lora_bridge(file, backbone, fingerprint).model)
    assert learnt < 0.99 * untrained
    assert set(trained.gains) <= {"area", "target", "vacated"}
    assert torch.equal(velocity(backbone), before)
    assert not getattr(backbone.transformer, "peft_config", None)
    with safe_open(file, "pt") as opened:
        told = opened.metadata()
    assert (told["format"], told["kind"], told["rank"], told["dragflow.steps"]) == ("1", "lora", "8", "24")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_resumed_training_gives_the_same_bits(backbone: Flux1, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    trained, before = train_bridge(backbone, CONFIG, to=whole), velocity(backbone)
    with pytest.raises(Cancelled):
        train_bridge(backbone, CONFIG, to=parts, observer=stop_after(2))
    assert torch.equal(velocity(backbone), before)
    assert partial(parts).exists()
    with pytest.raises(UserError, match="rank 2 instead of 3"):
        train_bridge(backbone, replace(CONFIG, rank=3), to=parts, resume=True)
    assert train_bridge(backbone, CONFIG, to=parts, resume=True) == trained
    made, expected = load_file(parts), load_file(whole)
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in expected.items())


def test_without_a_step_a_bridge_gives_exactly_the_preview(backbone: Flux1, dummy_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "bridge.safetensors"
    assert train_bridge(backbone, replace(CONFIG, steps=0), to=file).gains["area"] == 0
    editor = Editor.load(dummy_folder, bridge=file)
    assert editor.backbone.spec.preset == "bridge"
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    result = editor.open(picture).edit(Operation(Box(8, 8, 24, 24), Translate((40.0, 40.0), "relocation"), cut="hard"))
    assert np.array_equal(result.pixels, draw_preview(result.task, texture=True))


def test_a_file_gives_the_velocity_that_was_trained(
    made: tuple[Path, Tensor], dummy_folder: Path, backbone: Flux1, lora: Path
) -> None:
    """Whatever LoRAs are on the model; and the model's own velocity is to the byte what it is without the bridge."""
    file, expected = made
    loaded = load_backbone(ModelOptions.of(dummy_folder, bridge=file, device="cpu"))
    assert isinstance(loaded.bridge, LoraBridge)
    assert float(expected.abs().max()) > 0
    assert torch.equal(says(loaded.bridge), expected)
    assert torch.equal(velocity(loaded), velocity(backbone))
    with attach_loras(loaded, [str(lora)]) as styled:
        with_style = velocity(styled)
        assert not torch.equal(with_style, velocity(backbone))
        assert torch.equal(says(styled.bridge), expected)
        assert torch.equal(velocity(styled), with_style)
        with pytest.raises(Exception, match="shape"):
            styled.bridge(torch.zeros(1, 3, 8, 8), latent(), torch.zeros(1, 3, 8, 8))  # pyright: ignore[reportOptionalCall]
        assert torch.equal(velocity(styled), with_style)
    assert torch.equal(velocity(loaded), velocity(backbone))
    assert torch.equal(says(loaded.bridge), expected)


def test_a_lora_of_the_text_encoder_does_not_reach_it(
    made: tuple[Path, Tensor], dummy_folder: Path, lora: Path, tmp_path: Path
) -> None:
    file, expected = made
    clip = "lora_te1_text_model_encoder_layers_0_self_attn_v_proj"
    tensors = {f"{clip}.lora_down.weight": torch.ones(2, 32), f"{clip}.lora_up.weight": torch.ones(32, 2)}
    save_file(load_file(lora) | tensors, tmp_path / "a.safetensors")
    loras = (str(tmp_path / "a.safetensors"),)
    loaded = load_backbone(ModelOptions.of(dummy_folder, bridge=file, device="cpu", lora=loras))
    assert isinstance(loaded.bridge, LoraBridge)
    assert torch.equal(says(loaded.bridge), expected)


def test_it_works_in_bfloat16_beside_loras_and_with_checkpointing(
    made: tuple[Path, Tensor], dummy_folder: Path, lora: Path
) -> None:
    file, expected = made
    narrow = ModelOptions.of(dummy_folder, device="cpu", dtype="bfloat16", checkpointing=True)
    loaded = load_backbone(replace(narrow, bridge=str(file), lora=(f"{lora}:0.7",)))
    said = says(loaded.bridge)
    assert said.dtype == torch.float32
    assert float((said - expected).norm()) < 0.05 * float(expected.norm())


def test_it_is_trained_on_narrow_weights(dummy_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "bridge.safetensors"
    options = ModelOptions.of(dummy_folder, device="cpu", dtype="bfloat16", checkpointing=True)
    train_bridge(load_backbone(options), CONFIG, to=file)
    assert {x.dtype for x in load_file(file).values()} == {torch.float32}
    assert float(says(load_backbone(ModelOptions.of(dummy_folder, bridge=file)).bridge).abs().max()) > 0


def test_a_pipeline_takes_one(made: tuple[Path, Tensor], dummy_folder: Path) -> None:
    from diffusers import FluxPipeline

    file, expected = made
    wrapped = Editor.from_pipeline(FluxPipeline.from_pretrained(dummy_folder), bridge=file)
    assert torch.equal(says(wrapped.backbone.bridge), expected)


def test_the_fingerprint_is_of_the_weights_in_whatever_type(backbone: Flux1, fingerprint: str) -> None:
    assert transformer_fingerprint(backbone.transformer) == fingerprint
    twin = backbone.twin().transformer
    for weight in twin.parameters():
        weight.data = weight.data.clone()
    assert transformer_fingerprint(twin) == fingerprint


def test_a_bridge_of_another_model_is_refused(made: tuple[Path, Tensor], tmp_path: Path) -> None:
    other = write_dummy(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="is a bridge of another model"):
        load_backbone(ModelOptions.of(other, bridge=made[0]))


def lacks_a_layer(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    del tensors["transformer.transformer_blocks.1.attn.to_k.lora_A.weight"]


def has_too_much(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    tensors["transformer.x_embedder.weight"] = torch.zeros(1)


def has_another_shape(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    tensors["transformer.proj_out.weight"] = torch.zeros(3, 3)


def is_not_finite(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    tensors["transformer.proj_out.bias"][0] = float("nan")


def tells_another_rank(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    about["rank"] = "two"


def is_of_another_kind(tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    about["kind"] = "hypernetwork"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lacks_a_layer, "to_k.lora_A.weight is missing"),
        (has_too_much, "x_embedder.weight is unexpected"),
        (has_another_shape, r"proj_out.weight has shape \(3, 3\)"),
        (is_not_finite, "proj_out.bias is finite"),
        (tells_another_rank, "its rank is two"),
        (is_of_another_kind, "kind hypernetwork"),
    ],
)
def test_a_damaged_file_is_refused(
    damage: Callable[[dict[str, Tensor], dict[str, str]], None],
    words: str,
    made: tuple[Path, Tensor],
    backbone: Flux1,
    fingerprint: str,
    tmp_path: Path,
) -> None:
    with safe_open(made[0], "pt") as file:
        about, tensors = dict(file.metadata()), load_file(made[0])
    damage(tensors, about)
    save_file(tensors, tmp_path / "damaged.safetensors", about)
    with pytest.raises(UserError, match=words):
        read_lora_bridge(tmp_path / "damaged.safetensors", backbone, fingerprint)


def test_a_file_that_ends_early_is_refused(
    made: tuple[Path, Tensor], backbone: Flux1, fingerprint: str, tmp_path: Path
) -> None:
    short = tmp_path / "short.safetensors"
    short.write_bytes(made[0].read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read as a bridge"):
        read_lora_bridge(short, backbone, fingerprint)


def test_a_transformer_without_a_last_projection_is_refused(backbone: Flux1) -> None:
    headless = backbone.twin()
    headless.transformer.proj_out = nn.Identity()
    with (
        pytest.raises(CapabilityError, match="ends in a projection `proj_out`"),
        trainable_bridge(headless, rank=2, seed=0),
    ):
        pass
    assert isinstance(backbone.transformer.proj_out, nn.Linear)


def test_sizes_and_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`size` is 72: it must be a multiple of 16"):
        pairs_for(replace(CONFIG, size=72), None, 1, 16)
    with pytest.raises(UserError, match="has no manifest"):
        pairs_for(CONFIG, tmp_path, 1)
    (tmp_path / MANIFEST).write_text('{"format": 1, "size": 48, "split": "train", "commits": []}')
    with pytest.raises(UserError, match="holds no pairs yet"):
        pairs_for(CONFIG, tmp_path, 1)
    (tmp_path / "pairs-0000000.zip").touch()
    with pytest.raises(UserError, match="have 48 pixels on each side, fewer than `size` 64"):
        pairs_for(CONFIG, tmp_path, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lora": ("a.safetensors",)}, "leave out `lora`"),
        ({"bridge": "a.safetensors"}, "leave out `bridge`"),
        ({"quantize": "gguf:a.gguf"}, "leave out the GGUF file"),
        ({"model": __file__}, "is a file: name that"),
    ],
)
def test_models_that_none_can_be_trained_for_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_trainable(ModelOptions.of(options.pop("model", "dummy"), **options))


@pytest.mark.slow
def test_nano_learns_one(tmp_path: Path) -> None:
    config = replace(CONFIG, rank=32, steps=16, batch=2, rate=3e-4)
    trained = train_bridge(load_backbone(ModelOptions("nano", device="cpu")), config, to=tmp_path / "a.safetensors")
    assert np.mean(trained.losses[-4:]) < np.mean(trained.losses[:4])
    assert load_backbone(ModelOptions("nano", bridge=str(tmp_path / "a.safetensors"))).bridge is not None
