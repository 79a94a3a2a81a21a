"""The fill's texture: the detail that a smooth fill cannot predict, copied from where the picture looks alike.

A fill that errs least is blurred wherever it does not know. Here every place of the hole gets the fine detail of a
place in its surroundings that has the same colour and, as far as the surroundings of that colour tell, the same kind of
detail: as strong, and along the same direction. It is copied in large pieces, so that grain stays grain, and only as
much of it as the fill lacks. (Copies under a few shifts, chosen by labels: after "Shift-Map Image Editing", Pritch et
al., ICCV 2009; detail over a smooth base: "Simultaneous Structure and Texture Image Inpainting", Bertalmio et al.,
2003.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask
from dragflow.pixels import masks
from dragflow.pixels.reduced import enlarged, resampled, scaled

_FINE, _LEAST_FINE = 0.04, 1.5
"""Blur in pixels under which everything is detail: its share of the root of the hole's area, and the least."""
_AROUND = 3.0
"""Blur over which the kind of detail is told, in blurs of detail."""
_CELLS = 4000
"""Most cells of the box around the hole at which pieces are chosen."""
_SHIFTS, _REACH = 240, 1.5
"""Shifts that are tried, and how far they go in longer sides of that box."""
_PIECES, _GAIN = 24, 0.02
"""Most shifts that are used, and the mean gain that makes another one worth it."""
_PIECE = 4.0
"""Width of what is compared at each place, in blurs of detail."""
_COLOUR = 12.0
"""Grey levels that weigh as much as detail that is e times stronger."""
_DIRECTION = 2.0
"""Weight of the detail's direction, beside that of its strength."""
_LONE, _LONE_FROM = 3.0, 0.15
"""Weight of an origin that has single edges instead of texture, and how much stronger its mean is than its median
place, in powers of e, from which that counts."""
_EXAMPLES, _NEAR = 1500, 0.3
"""Places from which the kind of detail is predicted, and the distance, in sides of the hole, that halves their say."""
_FAR, _UNKNOWN = 0.3, 50.0
"""Cost of the farthest shift, and of one that brings nothing known."""
_COARSE = 3.0
"""Wider blurs are made at a smaller size, where they are this wide."""
_WINDOW, _LEAST_REACH = 4_000_000, 0.25
"""Most pixels of the surroundings, unless they would reach less far than this share of the hole's longer side."""
_SEAM = 1.5
"""Blur in pixels over which one piece passes into the next."""


_Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, eq=False)
class _Look:
    """What a place looks like."""

    kind: Map
    """(H, W, 3): log strength of detail, and the cosine and sine of twice its direction, weighted."""
    lone: Map
    """(H, W): how much of the detail is single edges."""


def textured(image: Map, hole: Mask, filled: Map) -> Map:
    """A filled picture with as much detail in the hole as its surroundings have.

    Args:
        image: (H, W, 3); what the hole holds does not matter.
        hole: (H, W).
        filled: the same picture with a smooth fill in the hole.
    """
    if not hole.any() or hole.all():
        return filled
    blur = max(_LEAST_FINE, _FINE * math.sqrt(hole.sum()))
    box = masks.window(hole, 0)
    h, w = hole[box].shape
    side = max(h, w)
    # As far as (h + 2 m) (w + 2 m) allows.
    most = (math.sqrt((h - w) ** 2 + 4 * _WINDOW) - h - w) / 4
    window = masks.window(hole, math.ceil(min(_REACH * side + 4 * blur, max(most, _LEAST_REACH * side))))
    result = filled.astype(np.float32)
    result[window] = _textured(image[window].astype(np.float32), hole[window], result[window], blur)
    return result


def _textured(image: Map, hole: Mask, filled: Map, blur: float) -> Map:
    base = _mean(image, ~hole, blur)
    detail = np.where(hole[..., None], 0, image - base)
    smooth = _blurred(filled, blur)
    look = _look(detail, ~hole, _AROUND * blur)
    window = masks.window(hole, 0)
    inside = hole[window]
    pieces, strength = _chosen(hole, window, base, smooth, look, blur)
    copied = _copied(detail, hole, window, pieces)
    there, brought = (_strength(x, inside, _AROUND * blur) for x in ((filled - smooth)[window], copied))
    missing = np.exp(strength) - np.exp(there)
    share = np.sqrt(np.clip(missing / np.maximum(np.exp(brought) - 1, 0.1), 0, 1))
    result = filled.copy()
    result[window] += np.where(inside, share, 0)[..., None] * copied
    return result


def _chosen(
    hole: Mask, box: _Box, base: Map, smooth: Map, look: _Look, blur: float
) -> tuple[dict[tuple[int, int], Map], Map]:
    """Shifts (dx, dy), each with its share of every pixel of the box around the hole, and the log strength of detail
    that is wanted there.
    """
    h, w = hole.shape
    shrink = min(1.0, math.sqrt(_CELLS / hole[box].size))
    small = scaled((h, w), shrink, least=2)
    empty = resampled(hole.astype(np.float32), small) > 0
    usable = ~masks.dilate(empty, 1)
    if not usable.any():
        return {}, np.zeros(hole[box].shape, np.float32)
    colours, kinds = resampled(base, small) / _COLOUR, resampled(look.kind, small)
    wanted = np.concatenate([resampled(smooth, small) / _COLOUR, kinds], axis=-1)
    wanted[empty, 3:] = _predicted(wanted[..., :3], colours, kinds, empty, usable)
    origin = np.concatenate([colours, kinds], axis=-1)
    lone = _LONE * np.maximum(resampled(look.lone, small) - _LONE_FROM, 0) ** 2
    window = masks.window(empty, 0)
    shifts, costs = _costs(wanted, origin, lone, usable, window, max(3, round(_PIECE * blur * shrink) | 1))
    inside = empty[window]
    used = _few(costs[:, inside])
    labels = np.full(empty.shape, -1)
    labels[empty] = costs[used][:, inside].argmin(axis=0)
    full = cv2.resize(labels.astype(np.float32), (w, h), interpolation=cv2.INTER_NEAREST)[box]
    across, down = w / small[1], h / small[0]
    pieces = {
        (round(shifts[i][0] * across), round(shifts[i][1] * down)): _blurred(full == n, _SEAM)
        for n, i in enumerate(used)
    }
    return pieces, enlarged(wanted[..., 3], (h, w))[box]


def _costs(
    wanted: Map, origin: Map, lone: Map, usable: Mask, window: _Box, width: int
) -> tuple[list[tuple[int, int]], Map]:
    """Shifts (dx, dy), and what each would cost at every place of the window (n, h, w)."""
    h, w = usable.shape
    rows, columns = np.mgrid[window]
    reach = _REACH * max(rows.shape) + 4
    shifts: list[tuple[int, int]] = []
    costs: list[Map] = []
    for number in range(_SHIFTS):  # evenly over a disc: the spiral of the golden angle
        distance, angle = reach * math.sqrt((number + 0.5) / _SHIFTS), number * math.pi * (3 - math.sqrt(5))
        dx, dy = round(distance * math.cos(angle)), round(distance * math.sin(angle))
        y, x = np.clip(rows + dy, 0, h - 1), np.clip(columns + dx, 0, w - 1)
        known = usable[y, x] & (y == rows + dy) & (x == columns + dx)
        cost = ((wanted[window] - origin[y, x]) ** 2).sum(-1) + lone[y, x]
        cost = cv2.boxFilter(np.where(known, cost, _UNKNOWN).astype(np.float32), -1, (width, width))
        shifts.append((dx, dy))
        costs.append(np.where(known, cost + _FAR * distance / reach, _UNKNOWN))
    return shifts, np.asarray(costs, np.float32)


def _few(costs: Map) -> list[int]:
    """The shifts, of those whose costs (n, places) are given, that are worth being used: one after the other."""
    least = np.full(costs.shape[1], _UNKNOWN, np.float32)
    used: list[int] = []
    while len(used) < _PIECES:
        gains = np.maximum(least - costs, 0).mean(axis=1)
        best = int(gains.argmax())
        if used and gains[best] < _GAIN:
            break
        used.append(best)
        least = np.minimum(least, costs[best])
    return used


def _predicted(wanted: Map, colours: Map, kinds: Map, empty: Mask, usable: Mask) -> Map:
    """The kind of detail (places, 3) of the hole: that of places nearby which have its colour."""
    rows, columns = np.nonzero(empty)
    side = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    y, x = np.nonzero(masks.dilate(empty, round(2 * _NEAR * side) + 1) & usable)
    if not len(y):
        y, x = np.nonzero(usable)
    step = math.ceil(len(y) / _EXAMPLES)
    y, x = y[::step], x[::step]
    near = np.float32(max(2.0, _NEAR * side))
    here = np.concatenate([wanted[rows, columns], np.stack([rows, columns], -1).astype(np.float32) / near], axis=-1)
    there = np.concatenate([colours[y, x], np.stack([y, x], -1).astype(np.float32) / near], axis=-1)
    apart = (here**2).sum(1)[:, None] + (there**2).sum(1) - 2 * here @ there.T
    weights = np.exp(-0.5 * (apart - apart.min(axis=1, keepdims=True)))
    return (weights @ kinds[y, x]) / weights.sum(axis=1, keepdims=True)


def _copied(detail: Map, hole: Mask, box: _Box, pieces: dict[tuple[int, int], Map]) -> Map:
    """The detail (h, w, 3) that the pieces bring into the box; 0 where none is known."""
    known = (~hole).astype(np.float32)
    total, weight = np.zeros_like(detail[box]), np.zeros(hole[box].shape, np.float32)
    h, w = box[0].stop - box[0].start, box[1].stop - box[1].start
    for (dx, dy), share in pieces.items():
        back = np.array([[1, 0, -dx - box[1].start], [0, 1, -dy - box[0].start]], dtype=np.float64)
        share = share * cv2.warpAffine(known, back, (w, h), flags=cv2.INTER_NEAREST)
        total += share[..., None] * cv2.warpAffine(detail, back, (w, h), flags=cv2.INTER_NEAREST)
        weight += share
    return np.where(weight > 0.05, 1 / np.maximum(weight, 0.05), 0)[..., None] * total


def _look(detail: Map, known: Mask, blur: float) -> _Look:
    dx, dy = cv2.Sobel(detail, cv2.CV_32F, 1, 0), cv2.Sobel(detail, cv2.CV_32F, 0, 1)
    xx, yy, xy = (dx * dx).sum(-1), (dy * dy).sum(-1), (dx * dy).sum(-1)
    # Every place has the same say in the direction, and in the strength nearly so: what is meant is texture, and not
    # the few edges that outweigh it.
    along = np.stack([xx - yy, 2 * xy], axis=-1) / (xx + yy + 256)[..., None]
    strength = _strength(detail, known, blur)
    mean = np.log(_mean((detail**2).sum(-1), known, blur) + 1)
    direction = _mean(along, ~masks.dilate(~known, 1), blur)
    return _Look(np.concatenate([strength[..., None], _DIRECTION * direction], axis=-1), mean - strength)


def _strength(detail: Map, where: Mask, blur: float) -> Map:
    """Mean logarithm (H, W) of the detail's power, which is what most places have."""
    return _mean(np.log(_mean((detail**2).sum(-1), where, max(1.0, blur / 4)) + 1), where, blur)


def _mean(values: Map, where: Mask, blur: float) -> Map:
    """Values (H, W) or (H, W, C) blurred over some places alone."""
    weight = where.astype(np.float32)
    over = np.maximum(_blurred(weight, blur), 1e-3)
    if values.ndim == 2:
        return _blurred(values * weight, blur) / over
    return _blurred(values * weight[..., None], blur) / over[..., None]


def _blurred(values: NDArray[Any], blur: float) -> Map:
    values = values.astype(np.float32)
    if blur < 2 * _COARSE:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), blur), np.float32)
    # A wide blur leaves nothing that a smaller picture does not hold.
    size = (values.shape[0], values.shape[1])
    small = resampled(values, scaled(size, _COARSE / blur))
    return enlarged(np.asarray(cv2.GaussianBlur(small, (0, 0), _COARSE), np.float32), size)
