"""What every test of an adapter in a small FLUX begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from dragflow.backbones.flux1.model import Flux1
from dragflow.subject.ip_adapter.adapter import EncodedImage, IpAdapter
from small_flux import latent, load, picture


@pytest.fixture(scope="module")
def backbone(dummy_folder: Path) -> Flux1:
    """The small FLUX."""
    return load(dummy_folder)


@pytest.fixture
def subject(adapter: IpAdapter) -> EncodedImage:
    """A picture as the module's IP-adapter encodes it."""
    return adapter.encode(picture(1))


@pytest.fixture
def z() -> Tensor:
    """A latent."""
    return latent()
