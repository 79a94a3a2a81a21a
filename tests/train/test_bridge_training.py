"""The bridge's training for a few steps on a tiny model: it starts at the preview, resumes exactly, and is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import TWO_HEADS

pytest.importorskip("skimage")

from dragflow.train import bridge, latents, pairs, state
from dragflow.train.bridge import Batch, BridgeConfig, BridgeModel
from dragflow.train.drags import Pair
from dragflow.train.flow import FlowModel
from dragflow.train.latents import Coder
from dragflow.train.main import parser
from dragflow.train.pairs import Pairs

CONFIG = BridgeConfig(flow=TWO_HEADS, warmup=1, size=64, crop=6, held_out=2, rescan=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs of 72 pixels; the tiny model takes 64."""
    out = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SHARD", 4)
        list(pairs.make(pairs.lacking(out, 4, 72)))
    return out


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "SHARD", 4)


@pytest.fixture(scope="module")
def trained(model: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SHARD", 4)
        bridge.train(CONFIG, state.Run(out, steps=4), model, folder, folder)
    return out


@pytest.fixture
def coder(model: Path) -> Coder:
    return latents.exported(model, TWO_HEADS.vae, "cpu")


@pytest.fixture
def batch(folder: Path, coder: Coder) -> Batch:
    drawn = Pairs(folder).take(range(4))
    return bridge.batch_of(bridge.augmented(drawn, np.random.default_rng(0), 64, 0.5), coder)


def fresh(model: Path) -> BridgeModel:
    base = FlowModel(TWO_HEADS)
    base.begin_with(model)
    return BridgeModel(base)


def test_a_fresh_bridge_gives_exactly_the_preview(model: Path, batch: Batch, coder: Coder) -> None:
    pictures = bridge.bridged(fresh(model), coder, batch)
    assert torch.equal(pictures, batch.preview)
    assert all(value == 0 for values in bridge.gains(batch, pictures).values() for value in values)


def test_the_truth_is_the_largest_gain(batch: Batch) -> None:
    found = bridge.gains(batch, batch.truth)
    assert min(found["area"]) > 20
    assert len(found["area"]) == 4


def test_errors_count_in_proportion_to_the_previews_own(batch: Batch) -> None:
    own = batch.preview - batch.truth
    areas = {"area": batch.regions["area"]}
    assert float(bridge.proportion(own, own, areas, {"area": 2.0}, 0.0)) == pytest.approx(2.0)
    assert float(bridge.proportion(own / 2, own, areas, {"area": 2.0}, 0.0)) == pytest.approx(0.5)
    # A preview that is right already counts nothing where nothing is changed, and is not divided by.
    right = torch.zeros_like(own)
    assert float(bridge.proportion(right, right, areas, {"area": 2.0}, 1e-3)) == 0
    assert float(bridge.proportion(own / 1000, right, areas, {"area": 2.0}, 1e-3)) < 0.01


def test_the_true_velocity_is_nearly_the_least_loss(batch: Batch, coder: Coder) -> None:
    def loss(v: torch.Tensor) -> float:
        return float(bridge.objective(CONFIG, batch, v, coder, np.random.default_rng(0)))

    true = batch.z - batch.true
    in_latents = replace(CONFIG, pixels=0.0)
    assert float(bridge.objective(in_latents, batch, true, coder, np.random.default_rng(0))) == pytest.approx(0.0)
    assert loss(true) < loss(0.5 * true) < loss(torch.zeros_like(true)) < loss(-true)


def test_mirrors_and_colours_change_all_pictures_of_a_pair_alike(folder: Path) -> None:
    drawn = Pairs(folder).take(range(4))
    marked = Pair(drawn.source, drawn.source, drawn.source, drawn.source)
    seen = bridge.augmented(marked, np.random.default_rng(3), 64, 1.0)
    assert seen.source.shape == (4, 64, 64, 3)
    assert np.array_equal(seen.source, seen.preview)
    assert np.array_equal(seen.source, seen.truth)
    assert np.array_equal(np.sort(seen.source, axis=3), np.sort(seen.masks, axis=3))  # masks keep their channels
    assert not np.array_equal(seen.source, seen.masks)


def test_every_weight_learns(model: Path, batch: Batch, coder: Coder) -> None:
    learner = fresh(model)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
    for _ in range(3):  # the last projection first, then what is before it, then what that reads
        optimizer.zero_grad()
        bridge.objective(CONFIG, batch, learner(batch.z, batch.hints), coder, np.random.default_rng(0)).backward()
        optimizer.step()
    for name in ("proj_out.weight", "x_embedder.weight", "transformer_blocks.0.attn.to_q.weight"):
        assert learner.transformer.get_parameter(name).grad.abs().max() > 0, name
    assert learner.transformer.x_embedder.weight.grad[:, -4 * 19 :].abs().max() > 0


def test_a_resumed_bridge_equals_an_uninterrupted_one(model: Path, folder: Path, trained: Path, tmp_path: Path) -> None:
    run = state.Run(tmp_path, steps=4, until=1)
    bridge.train(CONFIG, run, model, folder, folder)
    bridge.train(CONFIG, replace(run, until=None, resume=True), model, folder, folder)
    first, second = (load_file(out / "bridge/state.safetensors") for out in (trained, tmp_path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_exported_bridge_is_the_trained_one(
    model: Path, trained: Path, tmp_path: Path, batch: Batch, coder: Coder
) -> None:
    file = bridge.export(trained, model, tmp_path / "bridge.safetensors", TWO_HEADS)
    own = fresh(model)
    state.load_average(trained / "bridge/state.safetensors", own)
    read = bridge.exported(file, model, TWO_HEADS)
    with torch.no_grad():
        expected, given = (each(batch.z, batch.hints) for each in (own, read))
    assert expected.abs().max() > 0
    assert (given - expected).abs().max() < 0.05 * expected.abs().max()
    pictures = [bridge.bridged(each, coder, batch) for each in (own, read)]
    assert not torch.equal(pictures[0], batch.preview)
    assert (pictures[0] - pictures[1]).abs().max() < 0.1 * (pictures[0] - batch.preview).abs().max()


def test_a_run_begins_with_an_exported_bridge(model: Path, folder: Path, trained: Path, tmp_path: Path) -> None:
    file = bridge.export(trained, model, tmp_path / "bridge.safetensors", CONFIG.flow)
    run = state.Run(tmp_path / "run", steps=4, until=0)
    unchanged = bridge.train(CONFIG, run, model, folder, folder, file)
    begun = bridge.exported(file, model, CONFIG.flow).state_dict()
    assert all(torch.equal(weight, begun[name]) for name, weight in unchanged.state_dict().items())
    further = bridge.train(CONFIG, replace(run, out=tmp_path / "further", until=None), model, folder, folder, file)
    assert not all(torch.equal(weight, begun[name]) for name, weight in further.state_dict().items())


def test_the_command_needs_a_model_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["bridge", "--out", "x", "--start", "nano", "--pairs", "p", "--held-out", "q", "--minutes", "5", "--resume"]
    args = parser().parse_args(given)
    assert (args.pairs, args.held_out, args.minutes, args.resume) == (Path("p"), Path("q"), 5.0, True)
    with pytest.raises(SystemExit):
        parser().parse_args(given[:5])
    assert "--pairs" in capsys.readouterr().err
