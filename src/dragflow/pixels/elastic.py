"""Deformations as an elastic warp: a part moves as told, the area's rim stays, and between them the picture stretches.

A weight says how far each place follows a part: 1 on it, 0 on the rim of the area and outside, between them the share
of the distance, so that the stretch is spread as evenly as the gap allows. Motions are made in many small steps, each
with the weights of where the parts are by then. One small step cannot fold the picture, hence all of them together
cannot; one step with fixed weights does, in a quarter of the area where parts move farther than the gap is wide.

A part with a joint (`ResolvedOperation.joint`) is cut out along the rest of its rim. What is warped then is the picture
behind it, which follows the middle of the joint: a limb that turns about its joint does not turn the body.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Mask, Pixels
from dragflow.core.motion import Matrix, apply, compose, invert
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.pixels import masks

_CELLS = 40_000
"""The warp is smooth: it is computed on a grid of so many cells over the area at most."""
_STEP, _STEPS = 2.0, 48
"""Cells that the fastest place of a part goes in a step, and the most steps."""
_HINGE = 0.4
"""Way of the joint over that of the part up to which the joint is a hinge."""
_STEEP = 2
"""Power of the weights around a joint: what is beside a neck, rather than of it, is to be taken along less."""
_TOUCHED = 0.02
"""Share of a cell from which a part counts as being in it: a part is never smaller on the grid than it is."""
_BLURRED = (2.0, 4.0)
"""Factors of shrinking from which the picture is blurred before it is sampled."""


@dataclass(frozen=True, eq=False)
class Elastic:
    """The warp of the deformations of one task, from nothing to done."""

    task: DragTask
    parts: tuple[ResolvedOperation, ...]
    frame: Matrix
    """From cells of the grid to pixels of the picture."""
    steps: NDArray[np.float32]
    """(k + 1, h, w, 2): how far away, in pixels, each cell comes from at progress 0, 1/k, ... 1."""

    @property
    def whole(self) -> tuple[ResolvedOperation, ...]:
        """The parts that are not cut out."""
        return tuple(part for part in self.parts if not part.is_cut)

    def displacement(self, progress: float = 1.0, exact: Sequence[ResolvedOperation] | None = None) -> Map:
        """(H, W, 2): how far away (x, y) each pixel of the picture comes from; 0 outside of the area.

        Args:
            progress: of the motions.
            exact: the parts whose own pixels are in it, at their motion exactly; all when None.
        """
        last = len(self.steps) - 1
        low = min(int(progress * last), last - 1)
        share = progress * last - low
        field = self._on_picture((1 - share) * self.steps[low] + share * self.steps[low + 1])
        for part in self.parts if exact is None else exact:
            matrix = part.matrix(progress)
            ys, xs = np.nonzero(masks.warp_mask(part.mask, matrix))
            field[ys, xs] = np.stack(_offset(invert(matrix), xs, ys), axis=-1)
        return np.where(self.task.area[..., None], field, 0).astype(np.float32)

    def weights(self, progress: float = 0.0) -> tuple[Map, ...]:
        """(H, W) for each part: how far each place follows it from this progress on."""
        grid = _Grid(self.task, self.parts, self.frame, self.steps.shape[1:3])
        return tuple(self._on_picture(weight[..., None])[..., 0] for weight in grid.weights(progress))

    def _on_picture(self, field: Map) -> Map:
        """A field on the grid (h, w, c) on the picture (H, W, c), 0 outside of the grid."""
        h, w = self.task.area.shape
        frame = np.array(self.frame, dtype=np.float64)
        drawn = cv2.warpAffine(field, frame, (w, h), flags=cv2.INTER_LINEAR)
        return np.asarray(drawn, np.float32).reshape(h, w, field.shape[2])


def elastic(task: DragTask) -> Elastic | None:
    """The warp of a task's deformations; None if it has none."""
    parts = tuple(op for op in task.operations if op.is_deformation and _takes_along(op))
    if not parts:
        return None
    frame, size = _frame(task.area)
    grid = _Grid(task, parts, frame, size)
    count = min(_STEPS, max(1, math.ceil(max(grid.travel(part) for part in parts) / _STEP)))
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    here = np.stack([xs, ys], axis=-1)
    field = np.zeros((*size, 2), np.float32)
    steps = [field]
    for k in range(1, count + 1):
        back = grid.step((k - 1) / count, k / count, here)
        # Where a cell comes from now lies where it came from before, as seen from one small step back.
        field = np.asarray(back + _sampled(field, here + back), np.float32)
        steps.append(field * frame[0][0])
    return Elastic(task, parts, frame, np.stack(steps))


def stretched(image: Pixels, field: Map) -> Pixels:
    """The picture (H, W, 3) in which each pixel is from where a field of displacements (H, W, 2) says."""
    ys, xs = np.nonzero(field.any(axis=2))
    if not len(ys):
        return image
    window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))  # the only part that changes
    y, x = np.mgrid[window].astype(np.float32)
    result = image.copy()
    result[window] = _from(image, x + field[window][..., 0], y + field[window][..., 1])
    return result


def _from(image: Pixels, x: Map, y: Map) -> Pixels:
    """The picture at the given places, blurred before it is sampled where it shrinks."""
    drawn = _remap(image, x, y)
    shrinking = _shrinking(x, y)
    for factor in _BLURRED:
        share = np.clip(shrinking / factor * 2 - 1, 0, 1)[..., None]
        if share.any():
            soft = _remap(np.asarray(cv2.GaussianBlur(image, (0, 0), factor / 3), np.uint8), x, y)
            drawn = np.rint(drawn + share * (soft.astype(np.float32) - drawn)).astype(np.uint8)
    return drawn


@dataclass(frozen=True, eq=False)
class _Grid:
    task: DragTask
    parts: tuple[ResolvedOperation, ...]
    frame: Matrix
    size: tuple[int, int]

    @cached_property
    def regions(self) -> list[Map]:
        """(H, W) for each part: what a cell around each pixel sees of it."""
        return [self._seen(part.mask) for part in self.parts]

    @cached_property
    def joints(self) -> list[Map | None]:
        """The same of the joints."""
        return [None if part.joint is None else self._seen(part.joint) for part in self.parts]

    @cached_property
    def outside(self) -> Mask:
        """(h, w): cells that are not in the area."""
        return self._drawn(self._seen(self.task.area), invert(self.frame)) < 0.5

    def travel(self, part: ResolvedOperation) -> float:
        """Cells that the fastest place that takes something along goes."""
        return _travel(part.mask if part.joint is None else part.joint, leading(part, 1.0)) / self.frame[0][0]

    def step(self, before: float, after: float, here: Map) -> Map:
        """(h, w, 2): where each cell comes from, in cells, when the motions go on from one progress to the next."""
        total = np.zeros((*self.size, 2), np.float32)
        for part, weight in zip(self.parts, self.weights(after), strict=True):
            matrix = compose(self._matrix(part, before), invert(self._matrix(part, after)))
            total += weight[..., None] * np.stack(_offset(matrix, here[..., 0], here[..., 1]), axis=-1)
        return total.astype(np.float32)

    def weights(self, progress: float) -> list[Map]:
        """(h, w) for each part: how far each cell follows it on the next step."""
        leads: list[Mask] = []
        rims: list[Mask] = []
        for part, seen, joint in zip(self.parts, self.regions, self.joints, strict=True):
            matrix = compose(invert(self.frame), part.matrix(progress))
            region = self._drawn(seen, matrix) > _TOUCHED
            lead = region
            if joint is not None:
                lead = self._drawn(joint, compose(invert(self.frame), leading(part, progress))) > _TOUCHED
            inner = region if joint is None else cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            rims.append(region & ~inner & ~lead)
            # What comes to the same place is under the part that is last.
            leads = [before & ~region for before in leads] + [lead]
        others = [np.logical_or.reduce([*leads[:i], *leads[i + 1 :], *rims, self.outside]) for i in range(len(leads))]
        steepness = [_STEEP if part.joint is not None else 1 for part in self.parts]
        return [_weight(lead, stays) ** power for lead, stays, power in zip(leads, others, steepness, strict=True)]

    def _matrix(self, part: ResolvedOperation, progress: float) -> Matrix:
        return compose(invert(self.frame), compose(leading(part, progress), self.frame))

    def _seen(self, mask: Mask) -> Map:
        side = math.ceil(self.frame[0][0])
        return np.asarray(cv2.blur(mask.astype(np.float32), (side, side)), np.float32)

    def _drawn(self, seen: Map, matrix: Matrix) -> Map:
        """Share of each cell that is covered by what is carried there by a map of the picture to cells."""
        h, w = self.size
        drawn = cv2.warpAffine(seen, np.array(matrix, np.float64), (w, h), flags=cv2.INTER_LINEAR)
        return np.asarray(drawn, np.float32)


def _takes_along(part: ResolvedOperation) -> bool:
    """Whether anything follows a part: not where it turns about its joint, or grows from it, like a limb on a hinge."""
    if part.joint is None:
        return True
    return _travel(part.joint, part.matrix()) > _HINGE * _travel(part.mask, part.matrix())


def _travel(mask: Mask, matrix: Matrix) -> float:
    """Pixels that the fastest place of a mask goes."""
    ys, xs = np.nonzero(mask)
    return float(np.hypot(*_offset(matrix, xs, ys)).max())


def leading(part: ResolvedOperation, progress: float) -> Matrix:
    """The motion, at a progress, that what is around a part follows."""
    matrix = part.matrix(progress)
    if part.joint is None:
        return matrix
    x, y = masks.centroid(part.joint)
    to = apply(matrix, (x, y))
    return ((1.0, 0.0, to[0] - x), (0.0, 1.0, to[1] - y))


def _frame(area: Mask) -> tuple[Matrix, tuple[int, int]]:
    """From cells to pixels, and the size of the grid: it covers the area and one cell around it."""
    ys, xs = np.nonzero(area)
    left, top = float(xs.min()), float(ys.min())
    w, h = float(xs.max()) - left + 1, float(ys.max()) - top + 1
    cell = max(1.0, math.sqrt(w * h / _CELLS))
    size = (math.ceil(h / cell) + 2, math.ceil(w / cell) + 2)
    return ((cell, 0.0, left - cell / 2 - 0.5), (0.0, cell, top - cell / 2 - 0.5)), size


def _weight(lead: Mask, stays: Mask) -> Map:
    to_lead, to_stays = _distance(lead), _distance(stays)
    return np.where(lead, 1.0, to_stays / np.maximum(to_lead + to_stays, 1e-6)).astype(np.float32)


def _distance(mask: Mask) -> Map:
    """Cells from every cell to the nearest one of a mask; far where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, 1e6, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _offset(matrix: Matrix, x: NDArray[Any], y: NDArray[Any]) -> tuple[Map, Map]:
    """How far a map carries points."""
    (a, b, c), (d, e, f) = matrix
    return np.asarray((a - 1) * x + b * y + c, np.float32), np.asarray(d * x + (e - 1) * y + f, np.float32)


def _sampled(field: Map, at: Map) -> Map:
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _remap(image: Pixels, x: Map, y: Map) -> Pixels:
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shrinking(x: Map, y: Map) -> Map:
    """The distance in the source of neighbouring pixels, along the axis on which they are farthest apart."""
    along = np.hypot(np.gradient(x, axis=1), np.gradient(y, axis=1))
    down = np.hypot(np.gradient(x, axis=0), np.gradient(y, axis=0))
    return np.minimum(np.maximum(along, down), 8.0).astype(np.float32)
