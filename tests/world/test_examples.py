"""The bundled examples are those that the procedural world names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dragflow.world import EXAMPLES

FOLDER = Path(__file__).parents[2] / "examples"


def test_every_folder_holds_the_case_of_its_name() -> None:
    assert {one.name for one in EXAMPLES} == {path.name for path in FOLDER.iterdir() if path.is_dir()}
    for one in EXAMPLES:
        case = one.case(256)
        for name, drawn in (("source", case.source), ("truth", case.target)):
            kept = np.asarray(Image.open(FOLDER / one.name / f"{name}.png").convert("RGB"))
            assert np.array_equal(kept, drawn), (one.name, name)
