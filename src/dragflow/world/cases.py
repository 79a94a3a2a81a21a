"""Drag cases: a scene, a motion of one of its things, and the true picture after it, rendered from the moved scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.world import captions, things
from dragflow.world import motion as motions
from dragflow.world.motion import Motion
from dragflow.world.scenes import Scene, scene

KINDS = ("translate", "rotate", "scale", "stretch")
STILL_KINDS = ("copy", "remove")
"""Kinds that only those who ask for them get: a thing that appears at another place as well, or that is gone."""
CHANGED = 6
"""Grey levels above which a pixel counts as changed by a motion."""
_SCENES_TRIED = 60
_MOTIONS_TRIED = 12
"""Per scene."""


@dataclass(frozen=True)
class Context:
    """What a case contains that cutting and pasting gets wrong."""

    shadow: bool
    light: bool
    occluder: bool
    joint: bool
    structured: bool


@dataclass(frozen=True)
class DragCase:
    """A picture, what to drag in it, and the truth."""

    seed: int
    kind: str
    """One of KINDS or of STILL_KINDS."""
    scene: Scene
    moved: Scene
    """The scene after the motion, or with what is copied, or without what is removed."""
    index: int
    """Which thing is dragged."""
    motion: Motion
    source: Pixels
    """The scene, rendered."""
    target: Pixels
    """The moved scene, rendered."""
    mask: Mask
    """What a user would paint: the visible part that moves."""
    target_mask: Mask
    """Where that part, or its copy, is visible in the target; nowhere if it was removed."""
    area: Mask
    """The editable area: a rotated rectangle around both masks and everything that changes."""
    caption: str
    edit: str
    """The change in words."""
    context: Context


def drag_case(seed: int, kind: str | None = None, size: int | tuple[int, int] = 256, split: str = "train") -> DragCase:
    """Case number `seed`, always the same; `kind` is one of KINDS, drawn if None, or of STILL_KINDS.

    Other arguments: as for `scene`.

    Raises:
        UserError: an unknown kind or split, or a size that no drag fits.
    """
    if kind is not None and kind not in KINDS + STILL_KINDS:
        raise UserError(f"drag {kind!r} is not known: choose one of {', '.join(KINDS + STILL_KINDS)}")
    if kind in STILL_KINDS:
        return _still(kind, drag_case(seed, "translate", size, split))
    for attempt in range(_SCENES_TRIED):
        rng = np.random.default_rng([seed, attempt, 11])
        drawn = kind or str(rng.choice(KINDS, p=[0.45, 0.25, 0.15, 0.15]))
        limb = drawn == "rotate" and rng.uniform() < 0.5
        number = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.4, 0.25, 0.15]))
        before = scene(int(rng.integers(2**40)), size, split, number, limb, seam=drawn == "stretch")
        if limb:
            index = next(i for i, thing in enumerate(before.things) if thing.role == "limb")
        elif drawn == "stretch" or rng.uniform() < 0.7:
            index = before.objects[0]
        else:
            index = int(rng.choice(before.objects))
        for _ in range(_MOTIONS_TRIED):
            motion = draw_motion(rng, before, index, drawn)
            after = before.moved(index, motion)
            if fits(before, after, index, motion):
                return _case(seed, drawn, before, after, index, motion)
    raise UserError(f"no {kind or 'drag'} fits a picture of size {size} (case {seed}): use a larger size")


def _still(kind: str, moved: DragCase) -> DragCase:
    """What is copied to where a translation would move it, or removed instead."""
    before, index = moved.scene, moved.index
    if kind == "copy":
        after = before.copied(index, moved.motion)
        shown = part(after, max(before.moving(index)) + 1)
    else:
        after, shown = before.without(index), np.zeros_like(moved.mask)
    target, thing = after.render(), before.things[index].name
    changed = np.abs(moved.source.astype(np.int16) - target.astype(np.int16)).max(-1) > CHANGED
    return replace(
        moved,
        kind=kind,
        moved=after,
        motion=moved.motion if kind == "copy" else motions.translate((0.0, 0.0)),
        target=target,
        target_mask=shown,
        area=editable(changed | shown),
        edit=f"a second {thing}" if kind == "copy" else f"the {thing} removed",
    )


def draw_motion(rng: np.random.Generator, scene: Scene, index: int, kind: str) -> Motion:
    """A motion in the range that a person would drag."""
    thing, unit = scene.things[index], scene.unit
    if kind == "translate":
        length, angle = float(rng.uniform(0.10, 0.45)) * scene.size[1], float(rng.uniform(0, 2 * math.pi))
        return motions.translate((length * math.cos(angle), length * math.sin(angle)))
    if kind == "rotate":
        degrees = float(rng.uniform(20, 150) * rng.choice([-1, 1]))
        # A limb turns about its joint, an object about a place near its rim or off its centre.
        anchors = [(0.0, 0.42), (0.0, -0.42), (0.4, 0.4), (-0.4, 0.4), (0.3, 0.0), (-0.3, 0.0)]
        own = [(0.0, 0.0)] if thing.role == "limb" else anchors
        return motions.rotate(things.point(thing, own[int(rng.integers(len(own)))], unit), degrees)
    if kind == "scale":
        factor = float(rng.uniform(0.6, 0.85) if rng.uniform() < 0.5 else rng.uniform(1.18, 1.6))
        own = (0.0, 0.45) if rng.uniform() < 0.6 else (0.0, 0.0)
        return motions.scale(things.point(thing, own, unit), factor)
    if thing.seam is None:
        raise ValueError("only a thing with a seam can be stretched: draw the scene with one")
    seam = things.point(thing, (thing.seam, 0.0), unit)
    tip = things.point(thing, (thing.seam + thing.side, 0.0), unit)
    factor = float(rng.uniform(0.6, 0.8) if rng.uniform() < 0.35 else rng.uniform(1.25, 1.7))
    return motions.stretch(seam, (tip[0] - seam[0], tip[1] - seam[1]), factor)


def fits(before: Scene, after: Scene, index: int, motion: Motion) -> bool:
    """Whether the thing stays in the picture and can be seen before and after."""
    growth = abs(np.linalg.det(np.array(motion.matrix)[:, :2])) if motion.type != "affine" else 1.0
    covered, covered_after = float(before.alpha(index).sum()), float(after.alpha(index).sum())
    # An area that does not grow as the motion says was cut off by the frame, before or after.
    if motion.type != "affine" and not 0.94 <= covered_after / (covered * growth) <= 1.06:
        return False
    border = np.ones(before.size, bool)
    border[1:-1, 1:-1] = False
    if float((after.alpha(index) * border).sum()) > 0.02 * covered**0.5 * 4:
        return False
    least = 0.002 * border.size
    if not (part(before, index).sum() > least and part(after, index).sum() > least):
        return False
    return before.hidden(index) < 0.35 and after.hidden(index) < 0.45


def part(scene: Scene, index: int) -> Mask:
    """The visible pixels of what moves; of a thing with a seam only the part beyond it."""
    shown = scene.visible(index) > 0.5
    if scene.things[index].role == "object":
        shown &= things.beyond_seam(scene.things[index], scene.size)
    return shown


def centroid(mask: Mask) -> Point:
    """Mean (x, y) of a mask's pixels."""
    ys, xs = np.nonzero(mask)
    return (float(xs.mean()), float(ys.mean()))


def editable(mask: Mask) -> Mask:
    """The minimum-area rotated rectangle around a mask, filled."""
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    filled = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.round(corners).astype(np.int32)], 1)
    return filled.astype(bool) | mask


def _case(seed: int, kind: str, before: Scene, after: Scene, index: int, motion: Motion) -> DragCase:
    source, target = before.render(), after.render()
    mask, target_mask = part(before, index), part(after, index)
    changed = np.abs(source.astype(np.int16) - target.astype(np.int16)).max(-1) > CHANGED
    joint = before.things[index].role == "limb" or motion.type == "affine" or len(before.moving(index)) > 1
    context = Context(
        shadow=before.light.shadows,
        light=before.light.varies,
        occluder=max(before.hidden(index), after.hidden(index)) > 0.03,
        joint=joint,
        structured=before.background.structured,
    )
    text = captions.caption(captions.facts(before))
    area = editable(mask | target_mask | changed)
    edit = _in_words(before, index, motion)
    return DragCase(
        seed, kind, before, after, index, motion, source, target, mask, target_mask, area, text, edit, context
    )


def _in_words(scene: Scene, index: int, motion: Motion) -> str:
    thing = scene.things[index]
    noun = f"the {thing.name} arm" if thing.role == "limb" else f"the {thing.name}"
    if motion.type == "translate":
        dx, dy = motion.matrix[0][2], motion.matrix[1][2]
        way = ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
        return f"{noun} moved {way}" if way in ("up", "down") else f"{noun} moved to the {way}"
    if motion.type == "rotate":
        return f"{noun} turned to the {'right' if (motion.degrees or 0) > 0 else 'left'}"
    longer = (motion.factor or 1) > 1
    if motion.type == "scale":
        return f"{noun} {'larger' if longer else 'smaller'}"
    return f"{noun} {'longer' if longer else 'shorter'}"
