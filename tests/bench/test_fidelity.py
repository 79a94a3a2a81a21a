"""What a model gives back before any edit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dragflow.bench.fidelity import fidelity
from dragflow.core.config import EditConfig, InversionConfig
from dragflow.editor.editor import Editor


def test_fidelity_is_measured_on_scenes_and_photographs(dummy_folder: Path) -> None:
    found = fidelity(Editor.load(dummy_folder).backbone, range(1), EditConfig(inversion=InversionConfig(2, 1)))
    assert found.scenes == 1
    assert all(np.isfinite([found.autoencoder, found.photographs, found.inversion]))
