"""From an instruction to a checked `DragTask`: rasterised regions, known handles, the editable area, and every rule."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.core.motion import IDENTITY, Affine, Matrix, Motion, Remove, Rotate, Scale, Translate
from dragflow.core.task import DragTask, Instruction, MaskArray, Operation, ResolvedOperation
from dragflow.pixels import masks
from dragflow.pixels.attachment import attachment
from dragflow.pixels.masks import format_point
from dragflow.pixels.matte import rim_width
from dragflow.pixels.order import ordered
from dragflow.pixels.shadow import find_shadow
from dragflow.pixels.snap import snapped

_ROOM = 0.5
"""Width of what stretches around a deformation where the area is derived, as a share of the way that it goes."""
_LARGEST_TURN = 75.0
"""Degrees up to which a turn may be guessed to stretch what is around the region: more of it only smears that."""
_FRONT_RIM = 2
"""Pixels at the rim of what stays in front that may change."""
_LIT = 1 - 2 / 255
"""Share of the light above which a shadow cannot be seen."""
_SHARED = 0.4
"""Intersection over union with what was painted from which a region inside of something becomes an object."""
_SMALLEST_MOTION = 0.5
"""Pixels that some part of a region must move for the motion to count as one."""


def resolve(image: NDArray[np.uint8], instruction: Instruction, *, margin: int = 0) -> DragTask:
    """Check an instruction against its picture (H, W, 3) and rasterise it.

    Args:
        image: the upright source.
        instruction: what to do.
        margin: pixels by which the derived editable area is grown.

    Raises:
        UserError: a rule is broken; the text names the operation, the value and the fix.
    """
    size = (image.shape[0], image.shape[1])
    if not instruction.operations:
        raise UserError("the instruction has no operation: give at least one region with a motion")
    painted = tuple(_painted(op, size, i) for i, op in enumerate(instruction.operations))
    _check_apart(painted)
    operations = ordered(image, instruction.operations, _settled(image, instruction.operations, painted))
    changed = [_changed(image, op, i) for i, op in enumerate(operations)]
    margins = [margin + _room(op) + (rim_width(size, op.cut) if op.is_cut else 0) for op in operations]
    settled = tuple(_as_asked(*pair) for pair in zip(instruction.operations, operations, strict=True))
    return DragTask(
        image=image,
        operations=operations,
        area=_area(instruction, changed, _derived(changed, margins, operations), (painted, operations)),
        instruction=replace(instruction, operations=settled),
    )


def _painted(operation: Operation, size: tuple[int, int], index: int) -> ResolvedOperation:
    """The operation as it was asked for, checked."""
    name = f"operation {index}"
    mask = masks.rasterise(operation.region, size, f"{name}: region")
    handle = masks.centroid(mask) if operation.handle is None else operation.handle
    _check_point(handle, size, f"{name}: handle")
    check_motion(operation.motion, handle, size, name)
    painted = ResolvedOperation(mask, operation.motion, handle)
    if painted.lands and _largest_shift(mask, painted.matrix()) < _SMALLEST_MOTION:
        raise UserError(
            f"{name}: the motion is zero: no pixel of the region moves by {_SMALLEST_MOTION} pixels or more"
        )
    return painted


def _settled(
    image: NDArray[np.uint8], asked: tuple[Operation, ...], painted: tuple[ResolvedOperation, ...]
) -> tuple[ResolvedOperation, ...]:
    """The operations with nothing left to guess: every region snapped that is to be, every label known."""
    settled: list[ResolvedOperation] = []
    for i, (operation, one) in enumerate(zip(asked, painted, strict=True)):
        labelled = _labelled(image, one)
        if operation.cut in (None, "snap") and one.motion.label != "deformation":
            others = [other.mask for other in (*settled, *painted[i + 1 :])]
            apart = [other for other in others if not (other & one.mask).any()]  # what is copied may be shared
            fitted = snapped(image, one.mask, np.logical_or.reduce(apart) if apart else None)
            labelled = _better(labelled, _labelled(image, replace(one, mask=fitted)))
        settled.append(replace(labelled, cut="hard" if operation.cut == "hard" else "soft"))
    return tuple(settled)


def _better(painted: ResolvedOperation, snapped: ResolvedOperation) -> ResolvedOperation:
    """The snapped operation where it is an object, else the painted one.

    A region that is a part all around once it is snapped stays as it was painted. A region inside of something, as a
    handle on a face, becomes an object only if that is much of what was painted, and never another part, whose joint
    nobody meant.
    """
    if not snapped.is_cut:
        return painted
    if painted.is_cut:
        return snapped
    shared = (painted.mask & snapped.mask).sum() / (painted.mask | snapped.mask).sum()
    return snapped if snapped.joint is None and shared >= _SHARED else painted


def _as_asked(asked: Operation, settled: ResolvedOperation) -> Operation:
    """The operation that asks for what was settled, without a guess."""
    behind = False if settled.front is None else MaskArray(settled.front)
    operation = replace(asked, motion=settled.motion, cut=settled.cut, behind=behind)
    size = (settled.mask.shape[0], settled.mask.shape[1])
    if np.array_equal(masks.rasterise(asked.region, size), settled.mask):
        return operation
    # The motion is that of the region as painted: its handle is no longer the centroid.
    return replace(operation, region=MaskArray(settled.mask), handle=settled.handle)


def _labelled(image: NDArray[np.uint8], operation: ResolvedOperation) -> ResolvedOperation:
    """The operation with its label, guessed from the picture where none is given, and where a part is joined."""
    motion = operation.motion
    if isinstance(motion, Remove):
        return operation
    if motion.label is None and _turn(operation.matrix()) > _LARGEST_TURN:
        motion = replace(motion, label="relocation")
    if motion.label in ("relocation", "copy"):
        return replace(operation, motion=motion)
    found = attachment(image, operation.mask)
    motion = replace(motion, label=motion.label or found.label)
    return replace(operation, motion=motion, joint=found.joint if motion.label == "deformation" else None)


def _turn(matrix: Matrix) -> float:
    """Degrees that a map turns by; 180 for a mirror image."""
    (a, b, _), (d, e, _) = matrix
    return abs(math.degrees(math.atan2(d - b, a + e))) if a * e > b * d else 180.0


def check_motion(motion: Motion, handle: Point, size: tuple[int, int], name: str) -> None:
    """The rules of a motion on a picture of `size` (h, w).

    Raises:
        UserError: a point outside of the picture, a map without an inverse, or an angle that is not defined.
    """
    if isinstance(motion, Affine):
        _check_affine(motion, name)
        return
    if isinstance(motion, Rotate | Scale):
        _check_point(motion.about, size, f"{name}: anchor")
    if isinstance(motion, Rotate):
        _check_rotation(motion, handle, size, name)
    elif isinstance(motion, Translate):
        _check_point(motion.to, size, f"{name}: target")


def _check_rotation(motion: Rotate, handle: Point, size: tuple[int, int], name: str) -> None:
    if (motion.to is None) == (motion.degrees is None):
        raise UserError(f"{name}: a rotation needs either a target point or degrees, not both and not neither")
    if motion.to is None:
        return
    _check_point(motion.to, size, f"{name}: target")
    for point, what in ((handle, "handle (the centroid of the region)"), (motion.to, "target")):
        if math.dist(point, motion.about) < _SMALLEST_MOTION:
            raise UserError(
                f"{name}: the anchor {format_point(motion.about)} is on the {what} {format_point(point)}, so the "
                "angle is not defined: move the anchor, or give degrees instead of a target"
            )


def _check_affine(motion: Affine, name: str) -> None:
    values = [value for row in motion.matrix for value in row]
    (a, b, _), (d, e, _) = motion.matrix
    if abs(a * e - b * d) < 1e-4:
        raise UserError(
            f"{name}: the affine matrix {values} squeezes the region to nothing: its determinant must not be 0"
        )


def _check_point(point: Point, size: tuple[int, int], name: str) -> None:
    if not masks.inside(point, size):
        raise UserError(
            f"{name} {format_point(point)} is outside of the picture ({size[1]} x {size[0]}): "
            f"x must be 0 to {size[1] - 1}, y 0 to {size[0] - 1}"
        )


def _largest_shift(mask: Mask, matrix: Matrix) -> float:
    ys, xs = np.nonzero(mask)
    (a, b, c), (d, e, f) = (np.array(matrix) - np.array(IDENTITY)).tolist()
    return float(np.hypot(a * xs + b * ys + c, d * xs + e * ys + f).max())


def _check_apart(operations: tuple[ResolvedOperation, ...]) -> None:
    """A pixel can be copied any number of times, but leave only once."""
    taken = np.zeros_like(operations[0].mask)
    moving = [(i, op) for i, op in enumerate(operations) if not op.stays]
    for j, second in moving:
        if not (taken & second.mask).any():
            taken |= second.mask
            continue
        i, shared = next((i, n) for i, op in moving if (n := int((op.mask & second.mask).sum())))
        raise UserError(
            f"the regions of operations {i} and {j} share {shared} pixels: a pixel can move, or be removed, only once; "
            "paint them apart, or make the edits one after the other"
        )


def _changed(image: NDArray[np.uint8], operation: ResolvedOperation, index: int) -> tuple[Mask, Mask]:
    """What an operation changes where its region is and where that goes, each with the region's shadow.

    The shadow goes along, and an area that cut it off would show an edge. What is copied stays as it is.
    """
    source, target = operation.mask, masks.landing(operation)
    if operation.lands and not target.any():
        raise UserError(
            f"operation {index}: the region would end entirely outside of the picture: choose a target inside"
        )
    shadow = find_shadow(image, operation.mask) if operation.is_cut else None
    if shadow is not None:
        source = source | (shadow.light < _LIT)
        target = target | (shadow.moved(operation.matrix()) < _LIT) if operation.lands else target
    return np.zeros_like(source) if operation.stays else source, target


def _room(operation: ResolvedOperation) -> int:
    """Pixels by which the derived area of a deformation grows, so that there is something to stretch."""
    if not operation.is_deformation:
        return 0
    lead = operation.mask if operation.joint is None else operation.joint
    return math.ceil(_ROOM * _largest_shift(lead, operation.matrix()))


def _area(
    instruction: Instruction,
    changed: list[tuple[Mask, Mask]],
    derived: Mask,
    operations: tuple[tuple[ResolvedOperation, ...], tuple[ResolvedOperation, ...]],
) -> Mask:
    """Where the picture may change, by what operations change and what was said about it.

    The operations are given twice, as they were painted and settled.
    """
    size, area = (derived.shape[0], derived.shape[1]), derived
    if instruction.editable is not None:
        given = masks.rasterise(instruction.editable, size, "editable area", whole=True)
        mode = instruction.editable_mode
        area = given if mode == "replace" else area | given if mode == "extend" else area & ~given
        fix = "enlarge it" if mode == "replace" else "take less from it"
        _check_seen(changed, area, "the editable area does not touch the", f'{fix}, or set its mode to "extend"')
        if mode == "subtract":
            _check_free(operations, area, "taken from the editable area", fix)
    if instruction.protect is not None:
        area = area & ~masks.rasterise(instruction.protect, size, "protected area", whole=True)
        _check_seen(changed, area, "what is protected covers the", "protect less of it")
        _check_free(operations, area, "protected", "protect less of it")
    return area


def _check_free(
    operations: tuple[tuple[ResolvedOperation, ...], tuple[ResolvedOperation, ...]], area: Mask, why: str, fix: str
) -> None:
    """Whether each region that leaves its place may change there: as painted, and as it was settled."""
    for i, (painted, settled) in enumerate(zip(*operations, strict=True)):
        if settled.leaves and not ((area & painted.mask).any() and (area & settled.mask).any()):
            instead = "copy it, or " if settled.lands else ""
            raise UserError(
                f"all of the region of operation {i} is {why}, so it cannot leave its place: {instead}{fix}"
            )


def _check_seen(changed: list[tuple[Mask, Mask]], area: Mask, why: str, fix: str) -> None:
    """Whether each operation shows in an area."""
    for i, (source, target) in enumerate(changed):
        if not (area & (target if target.any() else source)).any():
            place = "target" if target.any() else "region"
            raise UserError(f"{why} {place} of operation {i}, so the edit could not show: {fix}")


def _derived(changed: list[tuple[Mask, Mask]], margins: list[int], operations: tuple[ResolvedOperation, ...]) -> Mask:
    rectangles = [masks.editable_area([pair], margin) for pair, margin in zip(changed, margins, strict=True)]
    # The rectangle's corners are truncated to whole pixels: what a person painted must be editable to its last pixel.
    own = np.logical_or.reduce([mask for pair in changed for mask in pair])
    derived = np.logical_or.reduce([*rectangles, own])
    for op in operations:
        if op.front is not None:  # not to change but for its rim, where the background shows through
            derived &= masks.dilate(~op.front, _FRONT_RIM)
        if op.stays:  # nor what is copied, but for what lands on it
            derived &= ~op.mask | own
    return derived
