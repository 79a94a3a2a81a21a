"""Pictures, instructions and manifests for tests of batches: small, and quick on the model `dummy`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dragflow.core.models import ModelOptions
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.pictures import SourceImage
from dragflow.files.red_bench import save_red_bench
from dragflow.service.batch import Settings

QUICK = ("inversion.steps=2", "inversion.skip=1")
SETTINGS = Settings(ModelOptions("dummy"), "paste", QUICK)
OPTIONS = ("--model", "dummy", "--preset", "paste", "--set", QUICK[0], "--set", QUICK[1])
"""The same on the command line."""


def pixels(number: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def picture(folder: Path, name: str = "a.png", number: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).save(folder / name)
    return folder / name


def instruction(folder: Path, name: str = "move.json", to: tuple[int, int] = (40, 24), **more: Any) -> Path:
    region = {"type": "box", "left": 8, "top": 8, "right": 23, "bottom": 23}
    operation = {"region": region, "motion": {"type": "translate", "to": to, "label": "relocation"}, "cut": "hard"}
    path = folder / name
    path.write_text(json.dumps({"version": 2, "operations": [operation | more]}))
    return path


def sample(folder: Path, number: int = 0) -> Path:
    """A ReD Bench folder."""
    moved = Operation(Box(8, 8, 23, 23), Translate((40, 24), "relocation"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_red_bench(folder, SourceImage(pixels(number)), Instruction(moved))
    return folder


def manifest(folder: Path, *lines: dict[str, Any] | str, name: str = "m.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def desk(folder: Path, pictures: int = 2) -> Path:
    """A folder with pictures a0.png, a1.png ... and one instruction, move.json."""
    for number in range(pictures):
        picture(folder, f"a{number}.png", number)
    instruction(folder)
    return folder
