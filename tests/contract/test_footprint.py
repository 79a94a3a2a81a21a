"""How large a model is, told by its configurations: exact for a model on disk, FLUX.1-dev's without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from family_cases import FamilyCase
from torch import nn

from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.registry import footprint
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import FLUX1_DEV, ModelOptions


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


def test_of_a_model_on_disk_every_parameter_is_counted(
    family: FamilyCase, backbone: PipelineBackbone, folder: Path
) -> None:
    found = footprint(ModelOptions.of(folder))
    pipeline = backbone.pipeline
    assert found.model == str(folder)
    assert found.transformer == count(backbone.transformer)
    others = [part for part in family.layout.networks if part != "transformer"]
    assert found.others == sum(count(getattr(pipeline, part)) for part in others)
    assert found.pixel_multiple == backbone.spec.pixel_multiple


def test_the_record_is_as_large_as_what_is_seen(backbone: PipelineBackbone, folder: Path) -> None:
    import torch

    seen: list[int] = []

    class Watch:
        blocks = frozenset(backbone.spec.kv_blocks)

        def __call__(self, site: object, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.numel() * torch.bfloat16.itemsize)
            return x

    z = torch.zeros(1, backbone.spec.latent_channels, 8, 16)
    backbone.velocity(z, 0.5, backbone.condition("", guidance=1.0), kv=Watch())
    stride = backbone.spec.latent_stride
    assert footprint(ModelOptions.of(folder)).kv_bytes((8 * stride, 16 * stride)) == sum(seen)


def test_of_flux1_dev_without_its_files() -> None:
    found = footprint(ModelOptions.of(FLUX1_DEV))
    assert found.model == FLUX1_DEV
    assert found.transformer == pytest.approx(11.9e9, rel=0.01)
    assert found.others == pytest.approx(4.97e9, rel=0.01)
    assert found.kv_bytes((1024, 1024)) == 2 * 13 * 4096 * 3072 * 2


def test_another_model_that_is_not_here_is_told_by_flux1_dev() -> None:
    assert footprint(ModelOptions.of("someone/fine-tune")).model == FLUX1_DEV
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        footprint(ModelOptions.of("no folder"))


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


def test_a_model_in_the_hubs_cache(no_models: Path, folder: Path) -> None:
    snapshot = in_cache(no_models, "someone/small", folder)
    found = footprint(ModelOptions.of("someone/small"))
    assert found.model == "someone/small"
    assert found.transformer == footprint(ModelOptions.of(folder)).transformer
    (snapshot / "vae" / "config.json").unlink()  # a download that was never finished
    assert footprint(ModelOptions.of("someone/small")).model == FLUX1_DEV


def test_a_folder_that_cannot_be_counted_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model_index\.json"):
        footprint(ModelOptions.of(tmp_path))
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "vae" / "config.json").write_text("{")
    with pytest.raises(UserError, match="its vae cannot be loaded"):
        footprint(ModelOptions.of(copy))
    (copy / "model_index.json").write_text(json.dumps({"_class_name": "OtherPipeline"}))
    with pytest.raises(CapabilityError, match="OtherPipeline"):
        footprint(ModelOptions.of(copy))
