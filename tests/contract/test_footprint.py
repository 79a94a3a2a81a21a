"""How large a model is, told by its configurations: exact for a model on disk, FLUX.1-dev's without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from torch import nn

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.registry import footprint
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import FLUX1_DEV, ModelOptions
from dragflow.method.kv import KVStore


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub cache without models; whoever asks the hub all the same fails."""
    import huggingface_hub

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    return cache


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_of_a_model_on_disk_every_parameter_is_counted(backbone: Flux1, dummy_folder: Path) -> None:
    found = footprint(ModelOptions.of(dummy_folder))
    pipeline = backbone.pipeline
    assert found.model == str(dummy_folder)
    assert found.transformer == count(backbone.transformer)
    assert found.others == sum(count(part) for part in (pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2))
    assert found.pixel_multiple == backbone.spec.pixel_multiple


def test_the_record_is_as_large_as_one_that_is_made(backbone: Flux1, dummy_folder: Path) -> None:
    import torch

    store = KVStore(frozenset(backbone.spec.kv_blocks), torch.device("cpu"))
    z = torch.zeros(1, backbone.spec.latent_channels, 6, 8)
    seen: list[int] = []
    record = store.recorder(0.5)

    class Watch:
        blocks = record.blocks

        def __call__(self, site: object, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.numel() * torch.bfloat16.itemsize)
            return x

    backbone.velocity(z, 0.5, backbone.condition("", guidance=1.0), kv=Watch())
    stride = backbone.spec.latent_stride
    assert footprint(ModelOptions.of(dummy_folder)).kv_bytes((6 * stride, 8 * stride)) == sum(seen)


def test_of_flux1_dev_without_its_files() -> None:
    found = footprint(ModelOptions.of(FLUX1_DEV))
    assert found.model == FLUX1_DEV
    assert found.transformer == pytest.approx(11.9e9, rel=0.01)
    assert found.others == pytest.approx(4.97e9, rel=0.01)
    assert found.kv_bytes((1024, 1024)) == 2 * 13 * 4096 * 3072 * 2


def test_another_model_that_is_not_here_is_told_by_flux1_dev() -> None:
    assert footprint(ModelOptions.of("someone/fine-tune")).model == FLUX1_DEV
    assert footprint(ModelOptions.of("neither a folder nor a hub id")).model == FLUX1_DEV


def test_a_built_in_model() -> None:
    found = footprint(ModelOptions.of("nano"))
    assert found.model == "nano"
    assert 0 < found.transformer < 1e9


def in_cache(cache: Path, model: str, folder: Path) -> Path:
    """Put a model's configurations where the hub's library keeps a download."""
    root = cache / f"models--{model.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, root / "snapshots" / ("0" * 40), ignore=shutil.ignore_patterns("*.safetensors"))
    return root / "snapshots" / ("0" * 40)


def test_a_model_in_the_hubs_cache(no_models: Path, dummy_folder: Path) -> None:
    snapshot = in_cache(no_models, "someone/small", dummy_folder)
    found = footprint(ModelOptions.of("someone/small"))
    assert found.model == "someone/small"
    assert found.transformer == footprint(ModelOptions.of(dummy_folder)).transformer
    (snapshot / "vae" / "config.json").unlink()  # a download that was never finished
    assert footprint(ModelOptions.of("someone/small")).model == FLUX1_DEV


def test_a_folder_that_cannot_be_counted_is_refused(dummy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model_index\.json"):
        footprint(ModelOptions.of(tmp_path))
    copy = Path(shutil.copytree(dummy_folder, tmp_path / "copy"))
    (copy / "vae" / "config.json").write_text("{")
    with pytest.raises(UserError, match="its vae cannot be loaded"):
        footprint(ModelOptions.of(copy))
    (copy / "model_index.json").write_text(json.dumps({"_class_name": "OtherPipeline"}))
    with pytest.raises(CapabilityError, match="OtherPipeline"):
        footprint(ModelOptions.of(copy))
