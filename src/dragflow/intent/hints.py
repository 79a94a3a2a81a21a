"""What the geometry of a drag says about its meaning: where the region is attached, and where the arrow points.

A region that is attached to its surroundings is a part: an arrow around the joint turns it (rotation), another short
one pulls or pushes it (deformation). A region with an edge all around is a whole object: dragged near its middle, it
moves (relocation); dragged far out and around its other end, it turns (rotation).
The thresholds were chosen with `benchmarks/intent_labels.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.task import ResolvedOperation
from dragflow.intent.base import TaskLabel
from dragflow.pixels.attachment import Points, rim, smooth

_JOINED = (0.03, 0.6)
"""Share of the rim without an edge for a part; with more, the mask exceeds the object, or the object is faint."""
_TURN = 0.35
"""Radians about the joint from which an arrow may be a turn."""
_RADIAL = 0.4
"""Logarithm of the change of the distance from the joint up to which an arrow goes round it."""
_SHORT = 1.0
"""Length of an arrow, over the distance of its start from the joint, up to which it may pull or push a part."""
_FAR_OUT = 0.75
"""Distance of the handle from the centroid, in radii of the disc of equal area, from which it is not the middle."""
_REACH = 1.8
"""How far beyond the centroid an anchor may lie, in the region's own length that way."""


@dataclass(frozen=True)
class Hint:
    """What a drag looks like."""

    label: TaskLabel
    anchor: Point
    """A pixel of the region or of its rim that it would turn about, if it turned."""


def hint(image: Pixels, operation: ResolvedOperation, to: Point) -> Hint:
    """What a drag of an operation's handle to `to`, on a picture (H, W, 3), looks like."""
    joint = joint_of(image, operation.mask)
    if joint is not None and math.dist(joint, operation.handle) >= 1 and math.dist(joint, to) >= 1:
        return Hint(_label_of_part(operation.handle, to, joint), joint)
    return _of_whole(operation, to)


def joint_of(image: Pixels, mask: Mask) -> Point | None:
    """Where a region (H, W) is attached: the middle of its rim without an edge; None for a whole object."""
    points, normals = rim(mask)
    unbroken = smooth(image, mask, points, normals)
    if not _JOINED[0] <= unbroken.mean() <= _JOINED[1]:
        return None
    middle = np.median(points[unbroken], axis=0)
    x, y = points[unbroken][np.argmin(np.hypot(*(points[unbroken] - middle).T))]
    return float(x), float(y)


def _label_of_part(handle: Point, to: Point, joint: Point) -> TaskLabel:
    before, after = np.subtract(handle, joint), np.subtract(to, joint)
    turn = abs(math.atan2(float(before[0] * after[1] - before[1] * after[0]), float(before @ after)))
    if turn > _TURN and abs(math.log(np.hypot(*after) / np.hypot(*before))) < _RADIAL:
        return "rotation"
    return "deformation" if math.dist(handle, to) <= _SHORT * np.hypot(*before) else "relocation"


def _of_whole(operation: ResolvedOperation, to: Point) -> Hint:
    """A whole object turns if some anchor on the line from the handle through the centroid keeps the handle's distance.

    That anchor lies where the line meets the perpendicular bisector of the arrow: t = |d|^2 / (2 d.u) along the unit
    vector u from the handle to the centroid, for an arrow d.
    """
    ys, xs = np.nonzero(operation.mask)
    points = np.stack([xs, ys], axis=1).astype(np.float64)
    middle, handle, arrow = points.mean(axis=0), np.array(operation.handle), np.subtract(to, operation.handle)
    lever = float(np.hypot(*(middle - handle)))
    if lever < _FAR_OUT * _radius(operation.mask):
        return Hint("relocation", _foot(points, operation.handle, to))
    toward = (middle - handle) / lever
    beyond = float(((points - middle) @ toward).max())
    inward = float(arrow @ toward)
    along = float(arrow @ arrow) / (2 * inward) if inward > 0 else math.inf
    fits = 0.5 * lever <= along <= lever + _REACH * beyond
    goal = handle + toward * min(along, lever + beyond)
    x, y = points[np.argmin(np.hypot(*(points - goal).T))]
    return Hint("rotation" if fits else "relocation", (float(x), float(y)))


def _foot(points: Points, *avoid: Point) -> Point:
    """The middle of the region's lowest row, where a standing object turns; of its highest if that point is taken."""
    for row in (points[:, 1].max(), points[:, 1].min()):
        foot = (float(np.median(points[points[:, 1] == row, 0])), float(row))
        if all(math.dist(foot, point) >= 1 for point in avoid):
            return foot
    return float(points[0, 0]), float(points[0, 1])


def _radius(mask: Mask) -> float:
    return math.sqrt(mask.sum() / math.pi)
