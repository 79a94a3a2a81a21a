"""A picture taken apart: the regions that are cut out, their shadows, and the background without those that leave.

None of it depends on where the regions go, so it is made once for each set of regions and kept while a hand looks for
the place (`Kept`).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels.fill.texture import textured
from dragflow.pixels.light import Light, light_of
from dragflow.pixels.matte import CutOut, cut_out
from dragflow.pixels.plate import background_plate
from dragflow.pixels.shadow import Shadow, find_shadow

Fill = Callable[[Pixels, Mask], Pixels]
"""Gives a new picture (H, W, 3) with the hole (H, W) filled."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One region that is cut out: to leave its place, or to be copied."""

    region: Mask
    piece: CutOut
    shadow: Shadow | None
    """None: it casts none that can be recognised, or none was looked for."""


@dataclass(frozen=True, eq=False)
class Layers:
    """A picture without the regions that leave their places, and all that are cut out, in their order."""

    plate: Pixels
    """(H, W, 3)."""
    regions: tuple[Layer, ...]
    light: Light | None
    """None: it does not vary, as far as the background tells, or was not looked for."""
    filled: Mask
    """(H, W): what the plate makes up."""

    @cached_property
    def textured(self) -> Layers:
        """The same with the detail in the plate that its fill could not predict (`dragflow.pixels.fill.texture`)."""
        plate = self.plate.astype(np.float32)
        shown = np.rint(np.clip(textured(plate, self.filled, plate), 0, 255)).astype(np.uint8)
        return replace(self, plate=shown)


def layers_of(task: DragTask, fill: Fill = background_plate, *, plain: bool = False) -> Layers:
    """The layers of what a task cuts out.

    Args:
        task: what is cut out of which picture.
        fill: what fills the hole that is left.
        plain: look neither for the regions' shadows, which then stay in the plate, nor for the picture's light.
    """
    image, cut = task.image, [op for op in task.operations if op.is_cut]
    parts = tuple(_layer(image, op, plain=plain) for op in cut)
    gone = [layer for op, layer in zip(cut, parts, strict=True) if op.leaves]
    hole = np.logical_or.reduce([np.zeros(image.shape[:2], np.bool_), *(layer.region for layer in gone)])
    covered = np.logical_or.reduce([hole, *(layer.piece.support for layer in gone)])
    hole = hole if covered.all() else covered  # a thin strip of background is not filled by what is on its rim
    lit = image
    for layer in gone:
        if layer.shadow is not None:
            lit = np.where(hole[..., None], lit, times(lit, 1 / layer.shadow.light))
    plate = fill(lit, hole)
    light = light_of(lit, hole) if parts and not plain else None
    return Layers(plate, parts, light, hole | (plate != lit).any(-1))


def _layer(image: Pixels, operation: ResolvedOperation, *, plain: bool) -> Layer:
    region = operation.mask
    return Layer(region, cut_out(image, region, operation.cut), None if plain else find_shadow(image, region))


def coarse_layers(task: DragTask) -> Layers:
    """The same at a fraction of the cost: with a coarse plate, and without shadows, which the eye misses last."""
    return layers_of(task, partial(background_plate, coarse=True), plain=True)


def times(image: Pixels, factor: Map) -> Pixels:
    """A picture (H, W, 3) under a factor (H, W) on its colours."""
    return np.rint(np.clip(image * factor[..., None], 0, 255)).astype(np.uint8)


class Kept:
    """The layers of the last few sets of regions, of any pictures; for any number of threads."""

    def __init__(self, count: int = 2) -> None:
        self._count = count
        self._layers: OrderedDict[bytes, Future[Layers]] = OrderedDict()
        self._changing = threading.Lock()

    def of(self, task: DragTask) -> Layers:
        """The layers of what a task cuts out; made, once for all who ask, if they are not among the last ones."""
        key = _key(task)
        with self._changing:
            known = self._layers.get(key)
            layers = self._layers[key] = Future[Layers]() if known is None else known
            self._layers.move_to_end(key)
            while len(self._layers) > self._count:
                self._layers.popitem(last=False)
        if known is None:
            try:
                layers.set_result(layers_of(task))
            except BaseException as error:
                with self._changing:  # whoever asks later tries again
                    if self._layers.get(key) is layers:
                        del self._layers[key]
                layers.set_exception(error)
        return layers.result()


def _key(task: DragTask) -> bytes:
    digest = hashlib.sha256(repr(task.image.shape).encode())
    digest.update(task.image.tobytes())
    for operation in task.operations:
        if operation.is_cut:
            digest.update(f"{operation.cut} {operation.leaves}".encode())
            digest.update(np.packbits(operation.mask).tobytes())
    return digest.digest()
