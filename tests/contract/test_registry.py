"""Families of models: ours, and those of installed packages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dragflow.backbones.family import FAMILIES
from dragflow.backbones.registry import footprint, load_backbone, wrap_pipeline
from dragflow.backbones.usual import usual_preset
from dragflow.core.errors import CapabilityError
from dragflow.core.models import ModelOptions

FAR = """
from dragflow.backbones.family import Family
from dragflow.backbones.footprint import Footprint

FAMILY = Family(loader=__name__, preset="fast")


def load(source):
    return "loaded", source.folder, source.options.device


def wrap(pipeline, options):
    return "wrapped", pipeline, options.offload


def footprint(model, folder):
    return Footprint(model, 3, 4, 5, 6)
"""


class FarPipeline:
    """Of another package."""


def test_a_package_brings_a_family(install: Callable[[str, str, dict[str, str]], Path], tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FarPipeline"}))
    options = ModelOptions.of(tmp_path, device="cpu", offload=True)
    with pytest.raises(CapabilityError, match=r"FarPipeline.*dragflow knows FluxPipeline"):
        load_backbone(options)
    with pytest.raises(CapabilityError, match="FarPipeline"):
        wrap_pipeline(FarPipeline(), options)
    install(FAR, "dragflow.backbones", {"FarPipeline": "FAMILY"})
    assert FAMILIES.names == (*FAMILIES.own, "FarPipeline")
    assert load_backbone(options) == ("loaded", tmp_path, "cpu")
    assert footprint(options).transformer == 3
    assert usual_preset(options) == "fast"
    pipeline = FarPipeline()
    assert wrap_pipeline(pipeline, options) == ("wrapped", pipeline, True)
