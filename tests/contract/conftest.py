"""Every check of the contract runs on a loaded backbone; here the small FLUX."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.registry import load_backbone
from dragflow.core.models import ModelOptions


@pytest.fixture(scope="module")
def backbone(dummy_folder: Path) -> Flux1:
    loaded = load_backbone(ModelOptions.of(dummy_folder, device="cpu"))
    assert isinstance(loaded, Flux1)
    return loaded
