"""The shipped weights: small, loadable as they are, faithful, and of use in an edit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dragflow.backbones.registry import locate
from dragflow.bench import world
from dragflow.bench.fidelity import fidelity
from dragflow.core.config import InversionConfig
from dragflow.editor import Editor

FOLDER, _ = locate("nano")


def test_the_weights_are_small_enough_to_ship() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 40e6


@pytest.mark.slow
def test_autoencoder_and_inversion_are_faithful() -> None:
    found = fidelity(Editor.load("nano").backbone, range(12), InversionConfig(20, 8))
    assert found.autoencoder >= 29
    assert found.photographs >= 25
    assert found.inversion >= 30


@pytest.mark.slow
def test_an_edit_beats_paste_over_inpainting(tmp_path: Path) -> None:
    records = list(world.run(["no-model", "fast"], range(300, 308), "nano", tmp_path))
    plain, edited = ([r for r in records if r.setting == s] for s in ("no-model", "fast"))
    assert np.median([r.landing for r in edited]) <= 2
    assert all(r.outside for r in edited)
    assert np.mean([r.area for r in edited]) > np.mean([r.area for r in plain]) + 0.3
    assert np.mean([r.ssim for r in edited]) > np.mean([r.ssim for r in plain])
