"""What the model sees of a picture: all of it, or a window around the edit; known without torch, before a model is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dragflow.core.arrays import Window
from dragflow.core.config import SizeConfig
from dragflow.core.errors import UserError
from dragflow.core.task import DragTask
from dragflow.pixels.masks import bounds

_CONTEXT, _LEAST, _NEARLY, _GRID = 0.25, 0.25, 0.9, 8
"""Context on each side of what is needed, as a share of that side; the least size of a window, as a share of the size
at which the model works; share of the picture from which a window would save nothing; least number of steps in which a
side is chosen."""


def settled(size: SizeConfig, picture: tuple[int, int], task: DragTask | None, multiple: int) -> SizeConfig:
    """The same with what the model sees settled; `auto` stays where that waits for the instruction.

    Args:
        size: as it was asked for.
        picture: (h, w) of the picture.
        task: the instruction on it; None as long as it is not known.
        multiple: pixels of the model's cell.

    Raises:
        UserError: a window outside of the picture, or without all that the instruction needs.
    """
    if isinstance(size.window, tuple):
        _check_window(size.window, picture, task)
    if size.window != "auto":
        return size
    if picture[0] * picture[1] <= size.max_pixels:
        return replace(size, window="whole")
    return size if task is None else replace(size, window=_window(task, size.max_pixels, multiple) or "whole")


def _window(task: DragTask, max_pixels: int, multiple: int) -> Window | None:
    """What an instruction needs with context around it; None if that is nearly the whole picture."""
    h, w = task.area.shape
    left, top, right, bottom = _needed(task)
    wide, tall = right - left, bottom - top
    least = _LEAST * max_pixels
    even = (math.sqrt((wide - tall) ** 2 + 4 * least) - wide - tall) / 4  # (wide + 2 even) (tall + 2 even) = least
    columns = min(w, wide + 2 * max(even, _CONTEXT * wide))
    rows = min(h, tall + 2 * max(even, _CONTEXT * tall))
    # Where the picture ends on two sides, the others get what is left.
    columns, rows = min(w, max(columns, least / rows)), min(h, max(rows, least / columns))
    if columns * rows >= _NEARLY * w * h:
        return None
    x, width = _side(left, right, columns, w, multiple)
    y, height = _side(top, bottom, rows, h, multiple)
    return x, y, x + width, y + height


def _side(low: int, high: int, length: float, end: int, multiple: int) -> tuple[int, int]:
    """Where a side of a window begins, and how long it is: whole cells, so that nothing is resampled if it fits.

    On a grid of an eighth of its length at most, so that edits with similar targets share an inversion.
    """
    grid = multiple * 2 ** max(0, math.floor(math.log2(max(length, 1) / _GRID / multiple)))
    cells = max(int(length) // grid * grid, -((low - high) // multiple) * multiple)
    begin = round((low + high - cells) / 2 / grid) * grid
    return max(0, min(max(begin, high - cells), low, end - cells)), min(cells, end)


def _needed(task: DragTask) -> Window:
    """The box around all that an edit looks at or changes, and a pixel more: so the area ends inside of it."""
    h, w = task.area.shape
    left, top, right, bottom = bounds(np.logical_or.reduce([task.area, *(op.mask for op in task.operations)]))
    xs, ys = zip(*(op.handle for op in task.operations), strict=True)
    left, top = min(left, math.floor(min(xs))) - 1, min(top, math.floor(min(ys))) - 1
    right, bottom = max(right, math.ceil(max(xs)) + 1) + 1, max(bottom, math.ceil(max(ys)) + 1) + 1
    return max(0, left), max(0, top), min(w, right), min(h, bottom)


def _check_window(window: Window, picture: tuple[int, int], task: DragTask | None) -> None:
    (h, w), (left, top, right, bottom) = picture, window
    if not (left < right <= w and top < bottom <= h):
        raise UserError(
            f"size.window is {list(window)}: left, top, right and bottom must be a box in the picture ({w} x {h}), "
            'the last two just outside; or choose "auto"'
        )
    if task is None:
        return
    needed = _needed(task)
    if left > needed[0] or top > needed[1] or right < needed[2] or bottom < needed[3]:
        raise UserError(
            f"size.window is {list(window)}, but the edit needs {list(needed)}: the editable area, the regions and "
            'their handles, with a pixel around; enlarge it, or choose "auto"'
        )
