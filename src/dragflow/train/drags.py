"""Drags whose true picture is known, to train a bridge on: scenes of the world, and things over crops of photographs.

Of each there are the source, the pixel preview of what was asked, and the truth. What is asked is as people ask:
regions painted a few pixels too small, too large or beside, one motion or two, an editable area given or derived.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.errors import UserError
from dragflow.core.task import DragTask, Instruction, MaskArray, Operation
from dragflow.pixels import masks
from dragflow.pixels.layers import Kept, Layers
from dragflow.pixels.preview import draw_preview, places
from dragflow.pixels.resolve import resolve
from dragflow.train import data
from dragflow.world import atlas
from dragflow.world.cases import CHANGED, drag_case, draw_motion, editable, fits, part
from dragflow.world.motion import Motion
from dragflow.world.scenes import Scene
from dragflow.world.things import Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

Content = Literal["world", "photograph"]

TARGETS = 4
"""Pairs of a scene: taking a picture apart is most of the work of a preview, and serves every target."""

_PHOTOGRAPHS, _CUT_OUTS, _SECOND, _CARELESS, _GIVEN = 0.4, 0.6, 0.2, 0.6, 0.5
"""Shares: of drags over photographs; of the things in them that are cut out of a photograph too; of drags with a second
motion, where one fits; of regions painted carelessly; of editable areas that are given."""
_FARTHEST = 5
"""Most pixels by which a careless region is off."""
_LEFT = 0.4
"""Share of a region that must be left of it when it is painted too small."""
_TRIED = 8
"""Motions drawn for another target or a second thing, and requests drawn for a scene."""


@dataclass(frozen=True)
class Drag:
    """A scene, the things that move in it and how, and the scene after that."""

    before: Scene
    after: Scene
    moves: tuple[tuple[int, Motion], ...]

    @property
    def area(self) -> Mask:
        """A rotated rectangle (H, W) around everything that moves or changes."""
        moved = [part(scene, index) for scene in (self.before, self.after) for index, _ in self.moves]
        difference = self.before.render().astype(np.int16) - self.after.render().astype(np.int16)
        return editable(np.logical_or.reduce([np.abs(difference).max(-1) > CHANGED, *moved]))

    def is_whole(self, index: int) -> bool:
        """Whether a thing moves as a whole, not as a limb or as what is beyond a seam."""
        thing = self.before.things[index]
        return thing.role == "object" and thing.seam is None


@dataclass(frozen=True, eq=False)
class Pair:
    """A preview and the truth."""

    source: Pixels
    preview: Pixels
    truth: Pixels
    masks: Pixels
    """(H, W, 3), 0 or 255: the editable area, the regions, and where these go."""

    def map(self, change: Callable[[Pixels], Pixels]) -> Pair:
        """The same with every picture changed."""
        return Pair(change(self.source), change(self.preview), change(self.truth), change(self.masks))

    @staticmethod
    def stacked(pairs: Sequence[Pair]) -> Pair:
        """Several as one, of arrays (b, H, W, 3)."""
        parts = zip(*((each.source, each.preview, each.truth, each.masks) for each in pairs), strict=True)
        return Pair(*map(np.stack, parts))


@dataclass(frozen=True, eq=False)
class PhotographScene(Scene):
    """A scene over a crop of a photograph."""

    photograph: Pixels

    @property
    def ground(self) -> NDArray[np.floating]:
        return self.photograph.astype(np.float32) / 255


@dataclass(frozen=True, eq=False)
class CutOut(Thing):
    """A sprite of its own making, instead of one of the atlas."""

    picture: NDArray[np.float32] | None = None

    @property
    def cell(self) -> NDArray[np.float32]:
        return super().cell if self.picture is None else self.picture


def pairs_of(number: int, size: int, split: str = "train", content: Content | None = None) -> list[Pair]:
    """The pairs of scene `number` of a split (train or test), always the same, with pictures (size, size, 3).

    They are one request with `TARGETS` targets; content that is None is drawn.
    """
    for attempt in range(_TRIED):
        rng = np.random.default_rng([number, attempt, 31])
        try:
            return _drawn_pairs(rng, drag(rng, size, split, content))
        except UserError:  # no drag fits, or regions that are painted too large overlap
            continue
        except Exception:  # a fault of the preview is told, but does not end hours of work
            _log.exception("scene %d, attempt %d, is left out", number, attempt)
    raise UserError(f"scene {number} has no request that can be made: leave it out")


def pair_of(task: DragTask, truth: Pixels, layers: Layers | None = None) -> Pair:
    """The preview of a task, and its truth (H, W, 3); `layers` of what the task cuts out, if they are made already."""
    shown = np.stack(places(task), axis=2).astype(np.uint8) * 255
    return Pair(task.image, draw_preview(task, layers), truth, shown)


def _drawn_pairs(rng: np.random.Generator, drawn: Drag) -> list[Pair]:
    request, kept, found = asked(rng, drawn), Kept(), list[Pair]()
    while True:
        task = resolve(drawn.before.render(), request)
        found.append(pair_of(task, drawn.after.render(), kept.of(task)))
        if len(found) == TARGETS:
            return found
        drawn = _with_other_target(rng, drawn)
        request = _asked_again(task.instruction, drawn)


def drag(rng: np.random.Generator, size: int, split: str = "train", content: Content | None = None) -> Drag:
    """A drag of this content, drawn if None, at random."""
    case = drag_case(int(rng.integers(2**40)), None, size, split)
    drawn = Drag(case.scene, case.moved, ((case.index, case.motion),))
    if rng.uniform() < _SECOND:
        drawn = _with_second(rng, drawn)
    chosen = content or ("photograph" if rng.uniform() < _PHOTOGRAPHS else "world")
    return _over_photograph(rng, drawn, split) if chosen == "photograph" else drawn


def asked(rng: np.random.Generator, drawn: Drag) -> Instruction:
    """What a person would ask for, with regions painted exactly or carelessly."""
    operations: list[Operation] = []
    for index, motion in drawn.moves:
        exact = part(drawn.before, index)
        handle = masks.centroid(exact)
        region = _careless(rng, exact) if rng.uniform() < _CARELESS else exact
        asked_for = motion.asked(handle, drawn.before.size)
        if isinstance(drawn.before, PhotographScene) and drawn.is_whole(index):
            asked_for = replace(asked_for, label="relocation")  # on a photograph more looks like a part than is one
        operations.append(
            Operation(MaskArray(region, invert=False), asked_for, handle if region is not exact else None)
        )
    given = rng.uniform() < _GIVEN
    return Instruction(operations, editable=MaskArray(drawn.area, invert=False) if given else None)


def _asked_again(settled: Instruction, drawn: Drag) -> Instruction:
    """The request that a drag was, for other motions of the same regions."""
    operations: list[Operation] = []
    for operation, (index, motion) in zip(settled.operations, drawn.moves, strict=True):
        handle = operation.handle or masks.centroid(part(drawn.before, index))
        to = replace(motion.asked(handle, drawn.before.size), label=operation.motion.label)
        operations.append(replace(operation, motion=to, handle=handle, behind=None))
    area = None if settled.editable is None else MaskArray(drawn.area, invert=False)
    return replace(settled, operations=tuple(operations), editable=area)


def painted(exact: Mask, pixels: int) -> dict[str, Mask]:
    """A region (H, W) as four people would paint it, three of them off by so many pixels."""
    along = round(pixels / 2**0.5)
    return {
        "exact": exact,
        "small": ~masks.dilate(~exact, pixels),
        "large": masks.dilate(exact, pixels),
        "shifted": masks.warp_mask(exact, ((1.0, 0.0, along), (0.0, 1.0, along))),
    }


def _careless(rng: np.random.Generator, exact: Mask) -> Mask:
    region = painted(exact, int(rng.integers(1, _FARTHEST + 1)))[str(rng.choice(["small", "large", "shifted"]))]
    return region if region.sum() > _LEFT * exact.sum() else exact


def _with_other_target(rng: np.random.Generator, drawn: Drag) -> Drag:
    """The same with other motions of the same kinds; the same alone if none fit."""
    before = drawn.before
    for _ in range(_TRIED):
        after, moves = before, list[tuple[int, Motion]]()
        for index, motion in drawn.moves:
            kind = "stretch" if motion.type == "affine" else motion.type
            moves.append((index, draw_motion(rng, before, index, kind)))
            after = after.moved(*moves[-1])
        if all(fits(before, after, *move) for move in moves):
            return Drag(before, after, tuple(moves))
    return drawn


def _with_second(rng: np.random.Generator, drawn: Drag) -> Drag:
    """The same with a thing of another group moved as well; the same alone if none fits."""
    (index, motion), before = drawn.moves[0], drawn.before
    group = before.things[index].group
    others = [i for i in before.objects if before.things[i].group != group]
    for _ in range(_TRIED if others else 0):
        other = int(rng.choice(others))
        further = draw_motion(rng, before, other, str(rng.choice(["translate", "rotate", "scale"])))
        after = drawn.after.moved(other, further)
        if fits(before, after, other, further) and fits(before, after, index, motion):
            return Drag(before, after, (*drawn.moves, (other, further)))
    return drawn


def _over_photograph(rng: np.random.Generator, drawn: Drag, split: str) -> Drag:
    """The same drag over a crop of a photograph, with some of the things cut out of photographs."""
    names = data.DRAG_PHOTOGRAPHS if split == "train" else data.TEST_PHOTOGRAPHS
    ground = data.photograph_crop(rng, min(drawn.before.size), names)
    chosen = {i: _cut_out(rng, names) for i in drawn.before.objects if rng.uniform() < _CUT_OUTS}

    def over(scene: Scene) -> Scene:
        things = tuple(
            CutOut(**_values(thing), picture=chosen[i]) if i in chosen else thing
            for i, thing in enumerate(scene.things)
        )
        return PhotographScene(**_values(replace(scene, things=things)), photograph=ground)

    return Drag(over(drawn.before), over(drawn.after), drawn.moves)


def _cut_out(rng: np.random.Generator, names: tuple[str, ...]) -> NDArray[np.float32]:
    """A rounded shape with an uneven outline out of a photograph: premultiplied RGBA (CELL, CELL, 4) in [0, 1]."""
    y, x = (np.mgrid[0 : atlas.CELL, 0 : atlas.CELL] + 0.5) / atlas.CELL - 0.5
    angle, radius = np.arctan2(y, x * float(rng.uniform(0.7, 1.4))), np.full_like(x, 0.36)
    for waves in range(2, 8):
        share = float(rng.normal(0, 0.16)) / waves
        radius *= 1 + share * np.cos(waves * angle + float(rng.uniform(0, 2 * math.pi)))
    inside = (np.minimum(radius, 0.48) - np.hypot(x, y)) * atlas.CELL
    alpha = cv2.GaussianBlur(np.clip(inside + 0.5, 0, 1), (0, 0), float(rng.uniform(0.4, 1.2)))[..., None]
    colours = data.photograph_crop(rng, atlas.CELL, names).astype(np.float32) / 255
    return np.concatenate([colours * alpha, alpha], axis=2).astype(np.float32)


def _values(item: Scene | Thing) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}
