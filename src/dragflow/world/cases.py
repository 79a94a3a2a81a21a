"""Drag cases: a scene, a motion of one of its things, and the true picture after it, rendered from the moved scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dragflow.world import captions, things
from dragflow.world import motion as motions
from dragflow.world.motion import Motion, Point
from dragflow.world.scenes import Scene, scene

KINDS = ("translate", "rotate", "scale", "stretch")
_TRIES = 60


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
    scene: Scene
    moved: Scene
    index: int  # which thing is dragged
    motion: Motion
    source: np.ndarray  # uint8 (h, w, 3)
    target: np.ndarray  # uint8 (h, w, 3), the moved scene rendered
    mask: np.ndarray  # bool (h, w), what a user would paint: the visible part that moves
    target_mask: np.ndarray  # bool (h, w), where that part is visible in the target
    area: np.ndarray  # bool (h, w), the editable area: a rotated rectangle around both and all that changes
    caption: str
    edit: str  # the change in words
    context: Context


def drag_case(seed: int, kind: str | None = None, size: int | tuple[int, int] = 256, split: str = "train") -> DragCase:
    """Draws case number `seed`; `kind` is one of KINDS (default: any)."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f'kind is "{kind}"; it must be one of {", ".join(KINDS)}.')
    for attempt in range(_TRIES):
        rng = np.random.default_rng([seed, attempt, 11])
        drawn = kind or str(rng.choice(KINDS, p=[0.45, 0.25, 0.15, 0.15]))
        limb = drawn == "rotate" and rng.uniform() < 0.5
        number = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.4, 0.25, 0.15]))
        here = scene(int(rng.integers(2**40)), size, split, number, limb, seam=drawn == "stretch")
        if limb:
            index = next(i for i, t in enumerate(here.things) if t.role == "limb")
        else:
            index = here.objects[0] if drawn == "stretch" or rng.uniform() < 0.7 else int(rng.choice(here.objects))
        for _ in range(12):
            motion = _draw(rng, here, index, drawn)
            there = here.moved(index, motion)
            if _fits(here, there, index, motion):
                return _case(seed, drawn, here, there, index, motion)
    raise RuntimeError(f"No {kind or 'drag'} fits a picture of size {size} for seed {seed}; use a larger size.")


def _draw(rng: np.random.Generator, here: Scene, index: int, kind: str) -> Motion:
    """One motion in the range a person would drag."""
    thing, unit = here.things[index], here.unit
    if kind == "translate":
        length, angle = float(rng.uniform(0.10, 0.45)) * here.size[1], float(rng.uniform(0, 2 * math.pi))
        return motions.translate((length * math.cos(angle), length * math.sin(angle)))
    if kind == "rotate":
        degrees = float(rng.uniform(20, 150) * rng.choice([-1, 1]))
        own = (
            [(0.0, 0.0)]
            if thing.role == "limb"
            else [(0.0, 0.42), (0.0, -0.42), (0.4, 0.4), (-0.4, 0.4), (0.3, 0.0), (-0.3, 0.0)]
        )
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


def _fits(here: Scene, there: Scene, index: int, motion: Motion) -> bool:
    """Whether the thing stays in the picture and can be seen before and after."""
    growth = abs(np.linalg.det(np.array(motion.matrix)[:, :2])) if motion.type != "affine" else 1.0
    before, after = float(here.alpha(index).sum()), float(there.alpha(index).sum())
    if motion.type != "affine" and not 0.94 <= after / (before * growth) <= 1.06:
        return False
    border = np.ones(here.size, bool)
    border[1:-1, 1:-1] = False
    if float((there.alpha(index) * border).sum()) > 0.02 * before**0.5 * 4:
        return False
    if not (_part(here, index).sum() > 0.002 * border.size and _part(there, index).sum() > 0.002 * border.size):
        return False
    return here.hidden(index) < 0.35 and there.hidden(index) < 0.45


def _part(here: Scene, index: int) -> np.ndarray:
    """The visible pixels of what moves; of a thing with a seam only the part beyond it."""
    shown = here.visible(index) > 0.5
    if here.things[index].role == "object":
        shown &= things.beyond_seam(here.things[index], here.size)
    return shown


def centroid(mask: np.ndarray) -> Point:
    """Mean (x, y) of a mask's pixels."""
    ys, xs = np.nonzero(mask)
    return (float(xs.mean()), float(ys.mean()))


def editable(mask: np.ndarray) -> np.ndarray:
    """The minimum-area rotated rectangle around a mask, filled."""
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    filled = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.round(corners).astype(np.int32)], 1)
    return filled.astype(bool) | mask


def _case(seed: int, kind: str, here: Scene, there: Scene, index: int, motion: Motion) -> DragCase:
    source, target = here.render(), there.render()
    mask, target_mask = _part(here, index), _part(there, index)
    changed = np.abs(source.astype(np.int16) - target.astype(np.int16)).max(-1) > 6
    joint = here.things[index].role == "limb" or motion.type == "affine" or len(here.moving(index)) > 1
    context = Context(
        shadow=here.light.shadows,
        light=here.light.varies,
        occluder=max(here.hidden(index), there.hidden(index)) > 0.03,
        joint=joint,
        structured=here.background.structured,
    )
    text = captions.caption(captions.facts(here))
    area = editable(mask | target_mask | changed)
    edit = _in_words(here, index, motion, mask)
    return DragCase(
        seed, kind, here, there, index, motion, source, target, mask, target_mask, area, text, edit, context
    )


def _in_words(here: Scene, index: int, motion: Motion, mask: np.ndarray) -> str:
    thing = here.things[index]
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
