"""A drag taken apart for programs that put pictures together themselves: the area, the background, what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels, own
from dragflow.core.checked import check
from dragflow.core.fields import Margin
from dragflow.core.task import Instruction, Operation
from dragflow.files.instructions import given_instruction
from dragflow.files.pictures import Picture, as_source
from dragflow.pixels.layers import Layers, layers_of
from dragflow.pixels.resolve import resolve
from dragflow.pixels.stack import Stack, stack_of


@dataclass(frozen=True, eq=False)
class Apart:
    """A drag, taken apart. Colours are not multiplied by alpha; alpha is 255 where something is opaque."""

    area: Mask
    """(H, W): where the picture may change."""
    plate: Pixels
    """(H, W, 3): what stays and what a part stretches, with the holes filled."""
    objects: NDArray[np.uint8]
    """(H, W, 4): what leaves its place, where it was."""
    ghost: NDArray[np.uint8]
    """(H, W, 4): the same where it goes, with its shadow and the light there. Over the plate it is the preview."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)


def taken_apart(
    image: Picture, instruction: Instruction | Operation | Sequence[Operation] | str | Path, *, margin: int = 0
) -> Apart:
    """A drag, taken apart without a model; see `preview`, which has the same arguments.

    Raises:
        UserError: a picture or an instruction that breaks a rule.
    """
    asked, margin = given_instruction(instruction), check(Margin, margin, "margin")
    source = as_source(image)
    task = resolve(source.pixels, asked, margin=margin)
    parts = layers_of(task).textured
    stack = stack_of(task, parts)
    plate = np.where(task.area[..., None], stack.background, source.pixels)
    return Apart(task.area, plate, _objects(parts, source.size), _ghost(stack, source.size))


def _objects(parts: Layers, size: tuple[int, int]) -> NDArray[np.uint8]:
    laid = _Laid(size)
    for layer in parts.regions:
        laid.over(layer.piece.colours.astype(np.float32), layer.piece.alpha[..., None])
    return laid.pixels


def _ghost(stack: Stack, size: tuple[int, int]) -> NDArray[np.uint8]:
    laid, area = _Laid(size), stack.area[..., None]
    for moved in stack.moved:
        light = moved.light()
        if light is not None:  # a shadow takes as much light as black of so much alpha
            laid.over(np.zeros((*size, 3), np.float32), (1 - np.clip(light, 0, 1))[..., None] * area)
    for moved in stack.moved:
        colours, weight = np.zeros((*size, 3), np.float32), np.zeros((*size, 1), np.float32)
        colours[stack.window], weight[stack.window] = moved.piece()
        laid.over(np.clip(colours, 0, 255), weight * area)
    return laid.pixels


class _Laid:
    """Layers over each other on a transparent ground."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._colours: Map = np.zeros((*size, 3), np.float32)  # multiplied by alpha
        self._alpha: Map = np.zeros((*size, 1), np.float32)

    def over(self, colours: Map, alpha: Map) -> None:
        """Lay colours (H, W, 3) of some alpha (H, W, 1) on top."""
        self._colours = self._colours * (1 - alpha) + colours * alpha
        self._alpha = self._alpha * (1 - alpha) + alpha

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 4)."""
        colours = self._colours / np.maximum(self._alpha, 1e-6)
        return np.rint(np.clip(np.dstack([colours, self._alpha * 255]), 0, 255)).astype(np.uint8)
