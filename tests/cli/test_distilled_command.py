"""What the command line says of models that were distilled to few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragflow.backbones.dummy import write_dummy

TOLD = "small picture that is inverted"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that is made as FLUX.1-schnell is."""
    return write_dummy(tmp_path_factory.mktemp("model") / "schnell", guidance=False, shifted=False)


def test_the_doctor_says_what_an_inversion_loses(run: Any, folder: Path, dummy_folder: Path) -> None:
    told = " ".join(run("doctor", folder, "--device", "cpu").out.split())
    assert f"distilled to few steps: a {TOLD} and sampled back differs by" in told
    assert "its preset is turbo" in told
    assert TOLD not in run("doctor", dummy_folder, "--device", "cpu").out


def test_an_edit_says_it_where_more_is_asked_for(run: Any, folder: Path, desk: Any) -> None:
    edit = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", folder, "--device", "cpu")
    quiet, verbose = run(*edit, "-o", desk.out), run(*edit, "-v", "-o", desk.folder / "again.png")
    assert (quiet.code, verbose.code) == (0, 0)
    assert TOLD not in quiet.err
    assert sum(TOLD in line for line in verbose.err.splitlines()) == 1


def test_a_preset_that_makes_no_sense_is_refused_before_the_model_is_loaded(
    run: Any, folder: Path, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = ("edit", desk.image, "--mask", desk.mask, "--to", "60,40", "--model", folder, "-o", desk.out)
    monkeypatch.setattr("dragflow.service.pool.ModelPool.get", lambda *_: pytest.fail("loaded"))
    refused = run(*edit, "--preset", "fast")
    assert refused.code == 2
    assert "preset fast inverts the picture in 10 steps" in refused.err
    assert "use preset turbo, or set inversion.steps" in refused.err
    assert not desk.out.exists()
