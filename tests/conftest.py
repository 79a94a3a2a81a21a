"""Fixtures shared by all tests: research data beside the checkout, and a small FLUX in real layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from dragflow.core.result import IdentityOptions

# Shapes and types of tensor functions are checked at every call while tests run.
install_import_hook(["dragflow.ops", "dragflow.method.supervision"], "beartype.beartype")

_SHARED = Path(__file__).parents[2] / "shared"


def _shared(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"research data are not distributed with the project: no folder ../shared/{name}")
    return folder


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Vectors recorded from the published method."""
    return _shared("reference")


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Samples of the field's benchmarks."""
    return _shared("samples")


@pytest.fixture(scope="session")
def dummy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLUX.1 pipeline with small random weights, saved in diffusers layout."""
    from dragflow.backbones.dummy import write_dummy

    return write_dummy(tmp_path_factory.mktemp("model") / "flux-dummy")


@pytest.fixture(scope="session")
def character(tmp_path_factory: pytest.TempPathFactory) -> IdentityOptions:
    """InstantCharacter in real layout for that model, and both encoders, small and random."""
    from dragflow.identity.dummy import write_character, write_encoders

    folder = tmp_path_factory.mktemp("character")
    write_encoders(folder)
    return IdentityOptions(
        "instantcharacter",
        str(write_character(folder / "adapter.bin")),
        str(folder / "siglip"),
        str(folder / "dinov2"),
    )


@pytest.fixture(scope="session")
def ip_adapter(tmp_path_factory: pytest.TempPathFactory) -> IdentityOptions:
    """An IP-adapter in XLabs' layout for that model, and a CLIP, small and random."""
    from dragflow.identity.dummy import write_clip, write_ip_adapter

    folder = tmp_path_factory.mktemp("ip-adapter")
    write_clip(folder / "clip")
    return IdentityOptions(
        "ip-adapter", str(write_ip_adapter(folder / "adapter.safetensors")), clip=str(folder / "clip")
    )
