"""The adapter's training for a few steps on a tiny model: its start, that it resumes exactly, what it exports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import TWO_HEADS
from torch import Tensor

from dragflow import Editor, SubjectOptions, world
from dragflow.core.errors import UserError
from dragflow.subject.attention import split_heads
from dragflow.subject.instantcharacter.projector import ProjectorSize
from dragflow.train import adapter, adapter_start, state
from dragflow.train.adapter import AdapterConfig, AdapterModel, Teacher, Velocities
from dragflow.train.main import main

ADAPTER = AdapterConfig(
    flow=TWO_HEADS,
    projector=ProjectorSize(features=64, blocks=1, width=64, depth=2, tokens=16, out=64, frequencies=16),
    side=32,
    patch=8,
    warmup=1,
)


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    adapter.train(ADAPTER, state.Run(out, steps=4), model)
    return out


@pytest.fixture(scope="module")
def initial(model: Path) -> tuple[Teacher, AdapterModel]:
    torch.manual_seed(0)
    teacher, fresh = Teacher(TWO_HEADS, model, "cpu"), AdapterModel(ADAPTER)
    adapter.initialise(ADAPTER, fresh, teacher)
    return teacher, fresh


def test_the_training_starts_at_the_model_itself(initial: tuple[Teacher, AdapterModel]) -> None:
    teacher, fresh = initial
    scenes, t = teacher.scenes(range(2)), torch.tensor([0.3, 0.8])
    noise = torch.randn(scenes.z.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, adapted = (teacher.velocities(scenes, t, noise, used) for used in (None, fresh))
    assert torch.equal(plain.captioned, adapted.captioned)
    assert torch.equal(plain.empty, adapted.empty)
    fresh.attentions[0].to_v_ip.bias.data.fill_(1.0)
    with torch.no_grad():
        changed = teacher.velocities(scenes, t, noise, fresh)
    fresh.attentions[0].to_v_ip.bias.data.zero_()
    assert not torch.equal(changed.captioned, plain.captioned)


def test_the_objective_is_least_where_captions_change_nothing_and_the_middle_stays() -> None:
    empty, captioned, true = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = Velocities(empty, captioned, true)
    middle = (empty + captioned) / 2

    def loss(apart: float, away: float) -> float:
        half = apart * (captioned - empty) / 2
        return float(adapter.objective(Velocities(middle - half + away, middle + half + away, true), plain, 6.0))

    assert loss(0, 0) == pytest.approx(0, abs=1e-10)
    difference = float(plain.difference)
    assert loss(1, 0) == pytest.approx(0.5 * difference + 6 * difference, rel=1e-5)  # the model itself
    assert loss(0.5, 0) == pytest.approx(loss(1, 0) / 4, rel=1e-5)
    assert loss(0, 0.1) == pytest.approx(2 * 0.1**2, rel=1e-4)


def test_a_token_starts_as_the_patch_of_its_place(initial: tuple[Teacher, AdapterModel]) -> None:
    """Two pictures that differ in one patch: the tokens of that place differ most by far."""
    _, fresh = initial
    picture = world.scene(3, 64).render()
    other = picture.copy()
    other[16:32, 32:48] = 255 - other[16:32, 32:48]  # patch (1, 2) of 4 x 4
    with torch.no_grad():
        a, b = fresh.tokens([picture, other], torch.full((2,), 0.5))
    change = (a - b).square().mean(dim=-1)
    assert int(change.argmax()) == 1 * 4 + 2
    assert change[6] > 10 * change[torch.arange(16) != 6].max()


def test_keys_start_as_what_the_queries_of_a_place_match() -> None:
    """Queries that are a rotation of the tokens: each attends most to its own token."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(64, 32, generator=generator)
    rotation = torch.linalg.qr(torch.randn(32, 32, generator=generator))[0]
    attention = adapter.SubjectAttention(32, 32, 32)
    adapter_start.start_keys(attention, tokens @ rotation, tokens)
    with torch.no_grad():
        k, v = attention.project(tokens[None])
        scores = attention.norm_ip_q(split_heads((tokens @ rotation)[None], 1)) @ k.transpose(-1, -2)
    assert torch.equal(scores[0, 0].argmax(dim=-1), torch.arange(64))
    assert not v.any()


def test_places_of_neighbours_are_more_alike_than_others() -> None:
    x = adapter_start.places(8, 64)
    assert x.shape == (64, 64)
    alike = x @ x.T
    assert torch.equal(alike.argmax(dim=-1), torch.arange(64))
    assert alike[0, 1] > alike[0, 18]


def same(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_training_equals_an_uninterrupted_one(model: Path, trained: Path, tmp_path: Path) -> None:
    run = state.Run(tmp_path, steps=4, until=2)
    adapter.train(ADAPTER, run, model)
    adapter.train(ADAPTER, replace(run, until=None, resume=True), model)
    assert same(tmp_path / "adapter/state.safetensors", trained / "adapter/state.safetensors")


def test_the_exported_adapter_acts_as_the_trained_one(model: Path, trained: Path, tmp_path: Path) -> None:
    weights = adapter.export(trained, tmp_path, ADAPTER) / "adapter.safetensors"
    editor = Editor.load(model, subject=SubjectOptions("nano", str(weights)))
    picture = world.scene(5, 64).render()
    assert editor.adapter is not None
    subject: Any = editor.adapter.encode((state.to_tensor(picture[None]) + 1) / 2)
    kept = AdapterModel(ADAPTER)
    state.load_average(trained / "adapter/state.safetensors", kept)
    with torch.no_grad():
        expected = kept.bfloat16().float().tokens([picture], torch.tensor([0.7]))
    assert torch.allclose(subject.at(0.7).tokens, expected, atol=1e-4)
    session = editor.open(picture, "a ball")
    z: Tensor = editor.backbone.encode((state.to_tensor(picture[None]) + 1) / 2)
    with_it, without = (
        editor.backbone.velocity(z, 0.7, editor.backbone.condition("a ball", subject=used, guidance=1.0))
        for used in (subject, None)
    )
    assert not torch.equal(with_it, without)
    assert np.array_equal(session.source.pixels, picture)


def test_an_adapter_without_its_encoder_is_refused(model: Path, trained: Path, tmp_path: Path) -> None:
    weights = adapter.export(trained, tmp_path, ADAPTER) / "adapter.safetensors"
    (tmp_path / "encoder" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="tiny SigLIP"):
        Editor.load(model, subject=SubjectOptions("nano", str(weights)))


def test_the_commands_take_the_model_to_train_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adapter", "--out", str(tmp_path)])
    assert "--start" in capsys.readouterr().err
