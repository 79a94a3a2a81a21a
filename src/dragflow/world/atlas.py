"""The sprite atlas: 241 emoji as RGBA pictures with names, thirty of them held out for testing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

CELL = 136


@dataclass(frozen=True)
class Sprite:
    """One entry of the atlas."""

    name: str
    group: str
    held_out: bool
    index: int


@cache
def sprites() -> tuple[Sprite, ...]:
    """All sprites in atlas order."""
    meta = json.loads((files("dragflow.world") / "assets" / "sprites.json").read_text())
    return tuple(Sprite(e["name"], e["group"], e["held_out"], i) for i, e in enumerate(meta["sprites"]))


@cache
def _by_name() -> dict[str, Sprite]:
    return {s.name: s for s in sprites()}


def names(split: str = "train") -> tuple[str, ...]:
    """Sprite names of a split: "train", "test" (the held-out ones) or "all"."""
    if split not in ("train", "test", "all"):
        raise ValueError(f'split is "{split}"; it must be "train", "test" or "all".')
    return tuple(s.name for s in sprites() if split == "all" or s.held_out == (split == "test"))


@cache
def _sheet() -> np.ndarray:
    with (files("dragflow.world") / "assets" / "sprites.png").open("rb") as f:
        return np.asarray(Image.open(f).convert("RGBA"))


@cache
def pixels(name: str) -> np.ndarray:
    """A sprite as premultiplied float32 RGBA in [0, 1], CELL x CELL."""
    if name not in _by_name():
        raise ValueError(f'"{name}" is not a sprite; dragflow.world.names("all") lists them.')
    sheet = _sheet()
    columns = sheet.shape[1] // CELL
    row, column = divmod(_by_name()[name].index, columns)
    cell = sheet[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL].astype(np.float32) / 255
    cell[..., :3] *= cell[..., 3:]
    cell.setflags(write=False)
    return cell
