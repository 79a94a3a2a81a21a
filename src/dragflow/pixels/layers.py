"""A picture taken apart: the regions that leave their places, their shadows, and the background without either.

None of it depends on where the regions go, so it is made once for each set of regions and kept while a hand looks for
the place (`Kept`).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.task import Cut, DragTask
from dragflow.pixels.light import Light, light_of
from dragflow.pixels.matte import CutOut, cut_out
from dragflow.pixels.plate import background_plate
from dragflow.pixels.shadow import Shadow, find_shadow

Fill = Callable[[Pixels, Mask], Pixels]
"""Gives a new picture (H, W, 3) with the hole (H, W) filled."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One region that leaves its place."""

    region: Mask
    piece: CutOut
    shadow: Shadow | None
    """None: it casts none that can be recognised."""


@dataclass(frozen=True, eq=False)
class Layers:
    """A picture without the regions that leave their places, and these, in their order."""

    plate: Pixels
    """(H, W, 3)."""
    regions: tuple[Layer, ...]
    light: Light | None
    """None: it does not vary, as far as the background tells."""


def layers(
    image: Pixels,
    regions: Sequence[tuple[Mask, Cut]],
    fill: Fill = background_plate,
    *,
    shadows: bool = True,
    light: bool = True,
) -> Layers:
    """Take a picture (H, W, 3) apart.

    Args:
        image: the picture.
        regions: those that leave their places, each (H, W), and how it is cut out.
        fill: what fills the hole that they leave.
        shadows: look for the regions' shadows, and leave them out of the plate.
        light: look for what relights the regions where they go.
    """
    pieces = [cut_out(image, region, cut) for region, cut in regions]
    found = [find_shadow(image, region) if shadows else None for region, _ in regions]
    covered = [region | piece.support for (region, _), piece in zip(regions, pieces, strict=True)]
    hole = np.logical_or.reduce([np.zeros(image.shape[:2], np.bool_), *covered])
    lit = image
    for shadow in found:
        if shadow is not None:
            lit = np.where(hole[..., None], lit, times(lit, 1 / shadow.light))
    parts = zip(regions, pieces, found, strict=True)
    return Layers(
        fill(lit, hole),
        tuple(Layer(region, piece, shadow) for (region, _), piece, shadow in parts),
        light_of(lit, hole) if regions and light else None,
    )


def layers_of(task: DragTask, fill: Fill = background_plate, *, shadows: bool = True, light: bool = True) -> Layers:
    """The layers of what a task cuts out."""
    regions: list[tuple[Mask, Cut]] = [(op.mask, op.cut) for op in task.operations if op.is_cut]
    return layers(task.image, regions, fill, shadows=shadows, light=light)


def times(image: Pixels, factor: Map) -> Pixels:
    """A picture (H, W, 3) under a factor (H, W) on its colours."""
    return np.rint(np.clip(image * factor[..., None], 0, 255)).astype(np.uint8)


class Kept:
    """The layers of the last few sets of regions, of any pictures; for any number of threads."""

    def __init__(self, count: int = 2) -> None:
        self._count = count
        self._layers: OrderedDict[bytes, Layers] = OrderedDict()
        self._changing = threading.Lock()

    def of(self, task: DragTask) -> Layers:
        """The layers of what a task cuts out; made if they are not among the last ones."""
        key = _key(task)
        with self._changing:
            if key in self._layers:
                self._layers.move_to_end(key)
                return self._layers[key]
        made = layers_of(task)
        with self._changing:
            self._layers[key] = made
            while len(self._layers) > self._count:
                self._layers.popitem(last=False)
        return made


def _key(task: DragTask) -> bytes:
    digest = hashlib.sha256(repr(task.image.shape).encode())
    digest.update(task.image.tobytes())
    for operation in task.operations:
        if operation.is_cut:
            digest.update(operation.cut.encode())
            digest.update(np.packbits(operation.mask).tobytes())
    return digest.digest()
