"""A small model of every family in turn, as the checks of the contract take it."""

from __future__ import annotations

from pathlib import Path

import pytest
from family_cases import CASES, FLUX1, FLUX2_KLEIN, VARIANTS, Z_IMAGE, FamilyCase

from dragflow.backbones.pipeline import PipelineBackbone

_QUICK = (FLUX1, FLUX2_KLEIN, Z_IMAGE)
"""One with two kinds of blocks, one with fused projections and references, one with a single stream and guidance."""
_PARAMS = tuple(pytest.param(case, marks=() if case in _QUICK else pytest.mark.slow) for case in (*CASES, *VARIANTS))


@pytest.fixture(scope="session", params=_PARAMS, ids=lambda case: case.name)
def family(request: pytest.FixtureRequest) -> FamilyCase:
    """Every family in turn."""
    return request.param


@pytest.fixture(scope="session")
def folder(family: FamilyCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of it in diffusers layout."""
    return family.write(tmp_path_factory.mktemp("model") / family.name)


@pytest.fixture(scope="session")
def backbone(family: FamilyCase, folder: Path) -> PipelineBackbone:
    """That model, loaded."""
    return family.load(folder)


@pytest.fixture(scope="session")
def checkpointed(family: FamilyCase, folder: Path) -> PipelineBackbone:
    """The same, recomputing activations in the backward pass."""
    return family.load(folder, checkpointing=True)
