"""A small picture with a mask to run the command line on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Desk:
    """A folder with a picture of 100 x 75, a mask of one square, and a mask of two."""

    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "picture.png"

    @property
    def mask(self) -> Path:
        return self.folder / "mask.png"

    @property
    def two(self) -> Path:
        return self.folder / "two.png"

    @property
    def out(self) -> Path:
        return self.folder / "out.png"

    def files(self) -> set[str]:
        """Everything below the folder, hidden and temporary files too."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(desk.image)
    mask = np.zeros((75, 100), dtype=np.uint8)
    mask[20:44, 20:44] = 255
    Image.fromarray(mask).save(desk.mask)
    mask[50:70, 70:90] = 255
    Image.fromarray(mask).save(desk.two)
    return desk
