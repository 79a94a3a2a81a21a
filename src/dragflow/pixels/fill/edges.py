"""The fill that carries edges on: edge-enhancing diffusion, coarse to fine.

Colours diffuse along edges and hardly across them (Weickert, "Anisotropic Diffusion in Image Processing", 1998; as a
fill: Weickert and Welk, "Tensor Field Interpolation with PDEs", 2006). The diffusion tensor follows from the structure
tensor of what the hole holds so far, which at the coarsest level is a membrane, so that the longest edges meet first.
Each linear problem is discretised by bilinear elements and solved exactly. What counts as an edge can be read in
several ways, which err in different places, so their mean is nearer to the truth than any of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import scipy  # its sparse solver is loaded when it is first used

from dragflow.core.arrays import Map, Mask
from dragflow.pixels import masks
from dragflow.pixels.fill.membrane import fitted, membrane, shrunk
from dragflow.pixels.reduced import enlarged, resampled, scaled

_HOLE, _WINDOW = 5_000, 100_000
"""Most pixels of the hole, and of the box around it, that are solved for. What is finer comes from the rim alone."""
_SMALLEST = 300
"""Pixels of a hole from which a coarser level helps."""
_MARGIN = 12
"""Pixels around the hole from which its edges are read."""
_ROUNDS = 4
"""Solutions on every level, each with the tensor of the one before."""
_LEAST = 1e-4
"""Least diffusion across an edge, so that every problem has one solution."""


@dataclass(frozen=True)
class Reading:
    """What counts as an edge."""

    contrast: float
    """Grey levels per pixel from which a slope counts as an edge."""
    blur: float
    """Blur in pixels before slopes are taken, and of the tensor that they make: only what is larger is carried on."""


READINGS = (Reading(0.8, 5.0), Reading(2.0, 5.0), Reading(0.5, 8.0))
"""The first is also used alone, where there is time for one."""


def _elements() -> tuple[Map, Map, Map]:
    """Stiffness (4, 4) of a bilinear element for the tensor's xx, xy and yy parts; corners row by row."""
    xx, xy, yy = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))
    for x in (0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12)):
        for y in (0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12)):
            dx, dy = np.array([y - 1, 1 - y, -y, y]), np.array([x - 1, -x, 1 - x, x])
            xx += np.outer(dx, dx) / 4
            xy += (np.outer(dx, dy) + np.outer(dy, dx)) / 4
            yy += np.outer(dy, dy) / 4
    return xx, xy, yy


_XX, _XY, _YY = _elements()


def continued(image: Map, hole: Mask, readings: tuple[Reading, ...] = READINGS) -> Map:
    """The picture (H, W, 3) with the edges around the hole (H, W) carried on through it.

    Args:
        image: float values; what the hole holds does not matter.
        hole: not the whole picture.
        readings: at least one; the result is the mean of their solutions, and each costs as much time as another.
    """
    if not hole.any():
        return image
    shrink = min(1.0, math.sqrt(_HOLE / hole.sum()))
    window = masks.window(hole, math.ceil(_MARGIN / shrink))
    inside, within = image[window], hole[window]
    h, w = within.shape
    shrink = min(shrink, math.sqrt(_WINDOW / (h * w)))
    small = scaled((h, w), shrink, least=2)
    values, empty = (inside.astype(np.float32), within) if shrink == 1 else shrunk(inside, within, small, 0.25)
    guess = np.mean([_solved(values, empty, reading) for reading in readings], axis=0)
    result = image.astype(np.float32)
    if shrink < 1:
        guess = fitted(resampled(guess, (h, w)), inside, within)
    result[window] = np.where(within[..., None], guess, inside)
    return result


def _solved(image: Map, hole: Mask, reading: Reading) -> Map:
    h, w = hole.shape
    if hole.sum() < _SMALLEST:
        result = membrane(image, hole)
    else:
        values, empty = shrunk(image, hole, ((h + 1) // 2, (w + 1) // 2), 0.25)
        coarse = enlarged(_solved(values, empty, reading), (h, w))
        result = np.where(hole[..., None], coarse, image)
    if not hole.any() or hole.all() or min(h, w) < 2:
        return result
    for _ in range(_ROUNDS):
        result = _diffused(result, hole, _tensor(result, reading))
    return result


def _tensor(image: Map, reading: Reading) -> Map:
    """The diffusion tensor (H - 1, W - 1, 3) between pixels, as its parts xx, xy and yy."""
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), reading.blur), np.float32)
    across, down = np.diff(smooth, axis=1), np.diff(smooth, axis=0)
    dx, dy = (across[:-1] + across[1:]) / 2, (down[:, :-1] + down[:, 1:]) / 2
    products = np.stack([(dx * dx).sum(-1), (dx * dy).sum(-1), (dy * dy).sum(-1)], axis=-1)
    xx, xy, yy = np.moveaxis(np.asarray(cv2.GaussianBlur(products, (0, 0), reading.blur), np.float32), -1, 0)
    spread = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    steep, flat = (xx + yy) / 2 + spread, np.maximum((xx + yy) / 2 - spread, 0)
    angle = np.arctan2(2 * xy, xx - yy) / 2  # of the steepest slope: across the edge
    over = np.maximum(1 / (1 + steep / reading.contrast**2), _LEAST)
    along = 1 / (1 + flat / reading.contrast**2)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([over * c * c + along * s * s, (over - along) * c * s, over * s * s + along * c * c], axis=-1)


def _diffused(image: Map, hole: Mask, tensor: Map) -> Map:
    """The hole filled with the steady state of diffusion by a tensor, its rim held."""
    h, w = hole.shape
    number = np.arange(h * w).reshape(h, w)
    corners = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]], axis=-1).reshape(-1, 4)
    free = hole.ravel()
    used = free[corners].any(axis=1)
    corners, parts = corners[used], tensor.reshape(-1, 3)[used][..., None, None]
    values = parts[:, 0] * _XX + parts[:, 1] * _XY + parts[:, 2] * _YY
    rows, columns = np.repeat(corners, 4, axis=1).ravel(), np.tile(corners, (1, 4)).ravel()
    stiffness = scipy.sparse.csr_matrix((values.ravel(), (rows, columns)), shape=(h * w, h * w))[free]
    flat = image.reshape(h * w, -1).astype(np.float64)
    solve = scipy.sparse.linalg.splu(
        stiffness[:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    ).solve
    flat[free] = solve(-(stiffness[:, ~free] @ flat[~free]))
    return flat.reshape(image.shape).astype(np.float32)
