"""A LoRA of one picture: it learns, resumes to the same bits, fits diffusers, and leaves the model as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.lora import attach_loras
from dragflow.backbones.registry import load_backbone
from dragflow.core.errors import Cancelled, CapabilityError, NumericalError, UserError
from dragflow.core.events import Event, Started, Stepped
from dragflow.core.models import ModelOptions
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.lora.config import LoraConfig
from dragflow.lora.files import partial
from dragflow.lora.train import flow_loss, train_lora
from dragflow.method.backbone import Backbone

CONFIG = LoraConfig(rank=2, steps=6, rate=1e-3, batch=2)


@pytest.fixture(scope="module")
def backbone(dummy_folder: Path) -> Flux1:
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    assert isinstance(loaded, Flux1)
    return loaded


@pytest.fixture(scope="module")
def picture() -> SourceImage:
    rows, columns = np.mgrid[:64, :80]
    return from_pixels(np.stack([rows * 3, columns * 3, rows + columns], axis=-1).astype(np.uint8))


def velocity(backbone: Backbone) -> torch.Tensor:
    z = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    return backbone.velocity(z, 0.6, backbone.condition("a cat", guidance=1.0))


def stop_after(step: int, reason: BaseException) -> Any:
    def observe(event: Event) -> None:
        if isinstance(event, Stepped) and event.phase == "train" and event.index == step:
            raise reason

    return observe


def test_the_loss_is_that_of_rectified_flow(backbone: Flux1) -> None:
    """On a model whose last layer gives zero the loss is the mean square of eps - z_0: 1 + 4 for a latent of 2s."""
    z = torch.full((1, 16, 32, 32), 2.0)
    texts = [backbone.condition(text, guidance=1.0) for text in ("a cat", "")]
    last = backbone.transformer.proj_out
    kept = [p.data for p in last.parameters()]
    for parameter in last.parameters():
        parameter.data = torch.zeros_like(parameter)
    loss = flow_loss(backbone, z, texts, LoraConfig(batch=4), step=0)
    for parameter, data in zip(last.parameters(), kept, strict=True):
        parameter.data = data
    assert float(loss) == pytest.approx(5.0, rel=0.03)


def test_times_of_a_batch_are_spread_and_differ_from_step_to_step(
    backbone: Flux1, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def flow(z: torch.Tensor, t: torch.Tensor, cond: object) -> torch.Tensor:
        seen.append(t)
        return torch.zeros_like(z)

    monkeypatch.setattr(backbone, "flow", flow)
    for step in (0, 1, 0):
        flow_loss(backbone, torch.zeros(1, 16, 4, 4), [None, None], LoraConfig(batch=5), step=step)  # pyright: ignore[reportArgumentType]
    assert all((t * 5).floor().tolist() == [0, 1, 2, 3, 4] for t in seen)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_a_lora_learns_its_picture_and_the_model_stays(backbone: Flux1, picture: SourceImage, tmp_path: Path) -> None:
    file, before = tmp_path / "subject.safetensors", velocity(backbone)
    config = replace(CONFIG, steps=60, rank=8, rate=5e-3, empty=0.0)
    losses = train_lora(backbone, picture, "a cat", config, to=file)
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert torch.equal(velocity(backbone), before)
    assert not getattr(backbone.transformer, "peft_config", None)
    assert not any(p.requires_grad for p in backbone.transformer.parameters())
    with attach_loras(backbone, [str(file)]) as learnt:
        assert (velocity(learnt) - before).norm() > 0.01 * before.norm()
    assert torch.equal(velocity(backbone), before)
    assert {path.name for path in tmp_path.iterdir()} == {file.name}


@pytest.mark.parametrize("reason", [Cancelled(), KeyboardInterrupt()])
def test_a_resumed_training_gives_the_same_bits(
    reason: BaseException, backbone: Flux1, picture: SourceImage, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    losses = train_lora(backbone, picture, "a cat", CONFIG, to=whole)
    before = velocity(backbone)
    for step, resume in ((2, False), (5, True), (6, True)):  # the last one is stopped when only the writing is left
        with pytest.raises(type(reason)):
            train_lora(backbone, picture, "a cat", CONFIG, to=parts, resume=resume, observer=stop_after(step, reason))
        assert not parts.exists()
        assert torch.equal(velocity(backbone), before)
    events: list[Event] = []
    resumed = train_lora(backbone, picture, "a cat", CONFIG, to=parts, resume=True, observer=events.append)
    assert resumed == losses
    made, expected = load_file(parts), load_file(whole)
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in expected.items())
    assert not partial(parts).exists()
    assert Started("train", 6) in events
    assert not [event for event in events if isinstance(event, Stepped) and event.phase == "train"]


def test_what_stops_a_training_before_its_first_step_leaves_nothing(
    backbone: Flux1, picture: SourceImage, tmp_path: Path
) -> None:
    def observe(event: Event) -> None:
        if event == Started("train", CONFIG.steps):
            raise Cancelled

    with pytest.raises(Cancelled):
        train_lora(backbone, picture, config=CONFIG, to=tmp_path / "a.safetensors", observer=observe)
    assert not list(tmp_path.iterdir())
    assert not getattr(backbone.transformer, "peft_config", None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": replace(CONFIG, rank=3)}, ("rank 2 instead of 3",)),
        ({"config": replace(CONFIG, seed=4, steps=9)}, ("seed 0 instead of 4", "steps 6 instead of 9")),
        ({"prompt": "a dog"}, ('prompt "a cat" instead of "a dog"',)),
        ({"picture": from_pixels(np.zeros((64, 80, 3), np.uint8))}, ("picture",)),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    change: dict[str, Any], words: tuple[str, ...], backbone: Flux1, picture: SourceImage, tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    given = {"picture": picture, "prompt": "a cat", "config": CONFIG}
    with pytest.raises(Cancelled):
        train_lora(backbone, **given, to=file, observer=stop_after(1, Cancelled()))
    kept = partial(file).read_bytes()
    with pytest.raises(UserError) as refused:
        train_lora(backbone, **{**given, **change}, to=file, resume=True)
    assert all(word in str(refused.value) for word in words)
    assert str(refused.value).count(" instead of ") == len(words)
    assert partial(file).read_bytes() == kept


def test_a_checkpoint_of_another_model_or_a_damaged_one_is_refused(
    backbone: Flux1, picture: SourceImage, tmp_path: Path
) -> None:
    from dragflow.backbones.dummy import write_dummy

    file = tmp_path / "a.safetensors"
    with pytest.raises(Cancelled):
        train_lora(backbone, picture, config=CONFIG, to=file, observer=stop_after(1, Cancelled()))
    other = load_backbone(ModelOptions.of(write_dummy(tmp_path / "other", seed=1), device="cpu"))
    with pytest.raises(UserError, match=f'model "{backbone.weights.fingerprint}" instead of'):
        train_lora(other, picture, config=CONFIG, to=file, resume=True)
    partial(file).write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"a\.safetensors\.partial .* damaged"):
        train_lora(backbone, picture, config=CONFIG, to=file, resume=True)


def test_the_file_says_what_it_was_made_from_and_diffusers_takes_its_alpha(
    backbone: Flux1, picture: SourceImage, dummy_folder: Path, tmp_path: Path
) -> None:
    from diffusers import FluxPipeline

    file = tmp_path / "a.safetensors"
    train_lora(backbone, picture, "a cat", replace(CONFIG, alpha=6.0), to=file)
    with safe_open(file, "pt") as opened:
        told = opened.metadata()
    assert told["dragflow.picture"] == picture.sha256
    assert told["dragflow.prompt"] == "a cat"
    assert told["dragflow.model"] == str(dummy_folder)
    assert told["dragflow.fingerprint"] == backbone.weights.fingerprint
    assert (told["dragflow.rank"], told["dragflow.steps"]) == ("2", "6")
    assert all(name.startswith("transformer.") for name in load_file(file))
    pipeline = FluxPipeline.from_pretrained(dummy_folder)
    pipeline.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name="a")
    assert pipeline.transformer.peft_config["a"].lora_alpha == 6
    layer: Any = pipeline.transformer.transformer_blocks[0].attn.to_q
    assert layer.scaling["a"] == 3
    assert json.loads(told["lora_adapter_metadata"])["transformer.r"] == 2


@pytest.mark.parametrize(
    ("quantize", "dtype"),
    [
        (None, "bfloat16"),
        pytest.param("int8", "bfloat16", marks=pytest.mark.slow),
        pytest.param("fp8", "bfloat16", marks=pytest.mark.slow),
        ("layerwise-fp8", "bfloat16"),
    ],
)
def test_a_lora_is_trained_on_narrow_weights_and_put_on_them(
    quantize: str | None, dtype: str, picture: SourceImage, dummy_folder: Path, tmp_path: Path
) -> None:
    narrow = load_backbone(
        ModelOptions.of(dummy_folder, device="cpu", dtype=dtype, quantize=quantize, checkpointing=True)
    )
    assert isinstance(narrow, Flux1)
    file, before = tmp_path / "a.safetensors", velocity(narrow)
    train_lora(narrow, picture, config=replace(CONFIG, rate=5e-2), to=file)
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float32}
    assert all(tensor.abs().max() > 0 for tensor in load_file(file).values())
    with attach_loras(narrow, [str(file)]) as learnt:
        seen = velocity(learnt)
    assert (seen - before).norm() > 0.05 * before.norm()
    assert torch.equal(velocity(narrow), before)
    loaded = load_backbone(
        ModelOptions.of(dummy_folder, device="cpu", dtype=dtype, quantize=quantize, lora=(str(file),))
    )
    assert torch.equal(velocity(loaded), seen)  # pyright: ignore[reportArgumentType]


def test_a_loss_that_is_not_finite_stops(backbone: Flux1, picture: SourceImage, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    config = replace(CONFIG)
    object.__setattr__(config, "rate", 1e30)  # no configuration has it by other ways
    with pytest.raises(NumericalError, match="lower rate"):
        train_lora(backbone, picture, config=config, to=file)
    assert not list(tmp_path.iterdir())  # no checkpoint either: its name is free for the next try
    train_lora(backbone, picture, config=replace(CONFIG, steps=1), to=file)
    assert file.exists()
    assert torch.isfinite(velocity(backbone)).all()


def test_settings_and_models_that_cannot_be_trained_are_refused(
    picture: SourceImage, backbone: Flux1, tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    for change, word in (
        ({"rank": 0}, r"`rank`: .*given 0"),
        ({"rate": float("nan")}, r"`rate`: .*finite.*given nan"),
        ({"steps": 0}, "steps"),
    ):
        with pytest.raises(UserError, match=word):
            train_lora(backbone, picture, config=replace(CONFIG, **change), to=file)
    with pytest.raises(UserError, match="to_nothing"):
        train_lora(backbone, picture, config=replace(CONFIG, modules=("to_nothing",)), to=file)
    train_lora(backbone, picture, config=CONFIG, to=file)
    with (
        attach_loras(backbone, [str(file)]) as learnt,
        pytest.raises(CapabilityError, match="LoRAs on it already"),
        attach_loras(learnt, [str(file)]),
    ):
        pass
    assert not getattr(backbone.transformer, "peft_config", None)
