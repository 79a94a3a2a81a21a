"""The sprite atlas: 241 emoji as RGBA pictures with names, thirty of them held out for testing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELL = 136
"""Side of a sprite in the atlas, in pixels."""


@dataclass(frozen=True)
class Sprite:
    """One entry of the atlas."""

    name: str
    group: str
    held_out: bool
    index: int
    """Its cell in the sheet, counted row by row."""


@cache
def sprites() -> tuple[Sprite, ...]:
    """All sprites, in the order of the atlas."""
    meta = json.loads((files("dragflow.world") / "assets" / "sprites.json").read_text())
    return tuple(
        Sprite(entry["name"], entry["group"], entry["held_out"], index) for index, entry in enumerate(meta["sprites"])
    )


@cache
def _by_name() -> dict[str, Sprite]:
    return {sprite.name: sprite for sprite in sprites()}


def names(split: str = "train") -> tuple[str, ...]:
    """Names of the sprites of a split: train, test (the held-out ones) or all.

    Raises:
        UserError: an unknown split.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"split {split!r} is not known: choose one of train, test, all")
    return tuple(sprite.name for sprite in sprites() if split == "all" or sprite.held_out == (split == "test"))


@cache
def _sheet() -> NDArray[np.uint8]:
    with (files("dragflow.world") / "assets" / "sprites.png").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGBA"))


@cache
def pixels(name: str) -> NDArray[np.float32]:
    """A sprite as premultiplied RGBA (CELL, CELL, 4) in [0, 1]; read-only, because it is cached.

    Raises:
        UserError: an unknown sprite.
    """
    if name not in _by_name():
        raise UserError(f'sprite {name!r} is not known: dragflow.world.names("all") lists them')
    sheet = _sheet()
    columns = sheet.shape[1] // CELL
    row, column = divmod(_by_name()[name].index, columns)
    cell = sheet[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL].astype(np.float32)
    cell /= 255
    cell[..., :3] *= cell[..., 3:]
    cell.setflags(write=False)
    return cell
