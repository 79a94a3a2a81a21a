"""The thing under points, without a model: of several guesses the one whose rim runs along edges.

A guess starts from where the thing may be, and learns the colours there and around it (GrabCut).
Starts are: what is reached from the points before an edge (a watershed), fine or coarse, and all that is given. The
first finds one thing among others, the last a thing of many colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.pixels import masks
from dragflow.pixels.colours import Palette, as_lab, means, separated
from dragflow.pixels.masks import format_point
from dragflow.pixels.reduced import enlarged_mask, fitting, nearest_mask, reduced

_PIXELS = 65_536
"""The window that is searched is looked at in this size at most."""
_AROUND = 0.1
"""What is looked at around the given area, as a share of its sides: what is there is not the thing."""
_SEED, _SEED_LEAST = 1 / 20, 2
"""Radius around a point that is the thing for certain: a share of the window's shorter side, and pixels."""
_BORDER = 0.03
"""Width of the picture's border that is background where no area is given, as a share of the shorter side."""
_ROUNDS = 3
"""In which GrabCut learns the colours; more change nothing."""
_FINE, _COARSE = 1.0, 3.0
"""Blur, in pixels of the view, of the pictures that are flooded."""
_BIN = 16
"""Levels of a channel of Lab that count as one colour, where colours are counted."""
_NEAR, _CLEAR = 2.0, 40.0
"""Pixels over which the sides of a rim are compared, and the levels of Lab from which an edge is as clear as any."""
_LARGER = 0.1
"""Power of the size of a guess that counts beside its edges: of two with equal edges the larger is the thing."""
_GAP = 0.1
"""Holes up to this share of the thing are part of it: eyes, highlights, print."""


def select_at(image: Pixels, points: Sequence[Point], within: Mask | None = None) -> Mask:
    """The thing (H, W) under all of the points, with at least the pixel of each.

    Args:
        image: (H, W, 3).
        points: on the thing; several say more than one, and may be on several parts of it.
        within: (H, W), where it can be; what is outside counts as its background. Everywhere when None, and then what
            is at the border of the picture counts as background.

    Raises:
        UserError: no point, or one outside of the picture.
    """
    h, w = image.shape[:2]
    if not points:
        raise UserError("no point is given: the thing to select needs at least one point on it")
    for point in points:
        if not masks.inside(point, (h, w)):
            raise UserError(
                f"point {format_point(point)} is outside of the picture ({w} x {h}): "
                f"x must be 0 to {w - 1}, y 0 to {h - 1}"
            )
    at = [(min(max(round(x), 0), w - 1), min(max(round(y), 0), h - 1)) for x, y in points]
    given = _inside_border((h, w)) if within is None else within.copy()
    for x, y in at:
        given[y, x] = True
    view = _view(image, given)
    seeds = _seeds([view.place(point) for point in at], view.given)
    guesses = _guesses(view, seeds, drawn=within is not None)
    found = view.back(max(guesses, key=lambda guess: _credit(view, guess))) & given
    for x, y in at:
        found[y, x] = True
    return found


@dataclass(frozen=True, eq=False)
class _View:
    """The window around where the thing can be, in the size in which it is looked at."""

    image: Pixels
    given: Mask
    window: tuple[slice, slice]
    size: tuple[int, int]
    """(h, w) of the whole picture."""

    def place(self, point: tuple[int, int]) -> tuple[int, int]:
        """A pixel (x, y) of the picture in the view."""
        (rows, columns), (h, w) = self.window, self.given.shape
        x = (point[0] - columns.start + 0.5) * w / (columns.stop - columns.start)
        y = (point[1] - rows.start + 0.5) * h / (rows.stop - rows.start)
        return min(int(x), w - 1), min(int(y), h - 1)

    def back(self, mask: Mask) -> Mask:
        """A mask of the view on the picture."""
        rows, columns = self.window
        whole = np.zeros(self.size, np.bool_)
        whole[self.window] = enlarged_mask(mask, (rows.stop - rows.start, columns.stop - columns.start))
        return whole


def _view(image: Pixels, given: Mask) -> _View:
    left, top, right, bottom = masks.bounds(given)
    window = masks.window(given, math.ceil(_AROUND * max(bottom - top, right - left)) + 2)
    size = fitting(given[window].shape, _PIXELS)
    whole = (given.shape[0], given.shape[1])
    return _View(reduced(image[window], size), nearest_mask(given[window], size), window, whole)


def _inside_border(size: tuple[int, int]) -> Mask:
    inner = np.zeros(size, np.bool_)
    width = max(1, round(_BORDER * min(size)))
    inner[width:-width, width:-width] = True
    return inner


def _seeds(points: Sequence[tuple[int, int]], given: Mask) -> Mask:
    """Discs around the points, as far as they are in the given area, and the points in any case."""
    drawn = np.zeros(given.shape, np.uint8)
    for point in points:
        cv2.circle(drawn, point, max(_SEED_LEAST, round(_SEED * min(given.shape))), 1, -1)
    seeds = (drawn > 0) & given
    for x, y in points:
        seeds[y, x] = True
    return seeds


def _guesses(view: _View, seeds: Mask, *, drawn: bool) -> list[Mask]:
    """What the thing may be, each connected with the seeds; the whole area is one start if somebody has drawn it."""
    lab = as_lab(view.image)
    fine, coarse = (_flood(view, seeds, blur) for blur in (_FINE, _COARSE))
    # What is outside of the area is background, except where it looks like what was flooded: an area that is drawn
    # around a head leaves the body outside.
    free = _alike(lab, coarse, ~view.given)
    starts = [(fine, ~view.given)]
    if drawn:
        starts += [(start | free, ~view.given & ~free) for start in (coarse, view.given)]
    # It has the colours of the start rather than those around it.
    found = [separated(lab, start, ~outside, _ROUNDS, seeds) for start, outside in starts]
    return [_connected((guess & view.given) | seeds, seeds) for guess in found]


def _flood(view: _View, seeds: Mask, blur: float) -> Mask:
    """What is reached from the seeds before it is reached from outside, over edges last."""
    markers = np.zeros(seeds.shape, np.int32)
    markers[~view.given], markers[seeds] = 2, 1
    cv2.watershed(np.asarray(cv2.GaussianBlur(view.image, (0, 0), blur), np.uint8), markers)
    return (markers == 1) | seeds


def _alike(lab: Pixels, inside: Mask, outside: Mask) -> Mask:
    """Pixels outside whose colours are a larger share of those inside."""
    palette = Palette.of(lab, _BIN)
    return outside & (palette.shares(inside) > palette.shares(outside))[palette.numbers]


def _credit(view: _View, guess: Mask) -> float:
    """How clear the edges along the rim of a guess are, and a little, its size; the picture's border is not a rim."""
    rim = guess & masks.dilate(~guess, 1)
    if not rim.any():
        return 0.0
    lab = as_lab(view.image).astype(np.float32)
    step = np.abs(means(lab, guess, _NEAR) - means(lab, ~guess, _NEAR)).max(axis=2)
    return float(np.minimum(step[rim], _CLEAR).mean() * guess.sum() ** _LARGER)


def _connected(found: Mask, seeds: Mask) -> Mask:
    """The parts that hold a seed, with their small holes filled."""
    _, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
    thing = np.isin(labels, np.unique(labels[seeds]))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.pad(~thing, 1, constant_values=True).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] <= _GAP * thing.sum()
    small[labels[0, 0]] = False  # around the picture
    small[0] = False  # the thing itself
    return thing | small[labels[1:-1, 1:-1]]
