"""Procedural scenes: a background, a light and a few things in depth order, rendered exactly and repeatably."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.world import atlas, backgrounds, things
from dragflow.world import light as lights
from dragflow.world.backgrounds import Background
from dragflow.world.light import Light
from dragflow.world.motion import Motion
from dragflow.world.things import Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMB_COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "grey")


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn into one picture."""

    seed: int
    size: tuple[int, int]
    """(h, w)."""
    background: Background
    light: Light
    things: tuple[Thing, ...]
    """From back to front."""

    @property
    def unit(self) -> int:
        """The smaller side in pixels, which poses are shares of."""
        return min(self.size)

    @property
    def objects(self) -> tuple[int, ...]:
        """Indices of the objects themselves, without limbs and caps."""
        return tuple(i for i, thing in enumerate(self.things) if thing.role == "object")

    @cached_property
    def layers(self) -> tuple[NDArray[np.float32], ...]:
        """Every thing drawn alone, premultiplied RGBA (h, w, 4)."""
        return tuple(things.draw(thing, self.size) for thing in self.things)

    @property
    def ground(self) -> NDArray[np.floating]:
        """The background (h, w, 3), about 0 to 1, before any light or shadow is on it."""
        return backgrounds.paint(self.background, self.size)

    def moving(self, index: int) -> tuple[int, ...]:
        """The things that move when thing `index` is dragged: a limb alone, anything else with its whole group."""
        thing = self.things[index]
        if thing.role == "limb":
            return (index,)
        return tuple(i for i, other in enumerate(self.things) if other.group == thing.group)

    def render(self) -> Pixels:
        """The picture (h, w, 3)."""
        picture = np.array(np.broadcast_to(self.ground, (*self.size, 3)), np.float32)
        # From back to front: a shadow falls on all that is behind its object, never on the object or what hides it.
        for thing, layer in zip(self.things, self.layers, strict=True):
            if self.light.shadows and thing.role != "cap":
                picture *= lights.cast(self.light, layer[..., 3])[..., None]
            picture *= 1 - layer[..., 3:]  # layers are premultiplied
            picture += layer[..., :3]
        field = lights.field(self.light, self.size)
        if field is not None:
            picture *= field
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def alpha(self, index: int) -> NDArray[np.float32]:
        """Coverage (h, w) of a dragged thing and all that moves with it, whether or not something hides it."""
        clear = np.ones(self.size, np.float32)
        for i in self.moving(index):
            clear *= 1 - self.layers[i][..., 3]
        return 1 - clear

    def visible(self, index: int) -> NDArray[np.float32]:
        """Coverage (h, w) of a dragged thing and all that moves with it, less what things in front hide."""
        shown = np.zeros(self.size, np.float32)
        moving = self.moving(index)
        for i, layer in enumerate(self.layers):
            shown = shown * (1 - layer[..., 3]) + (layer[..., 3] if i in moving else 0)
        return shown

    def hidden(self, index: int) -> float:
        """Share of a dragged thing that others hide."""
        return 1.0 - float(self.visible(index).sum()) / max(float(self.alpha(index).sum()), 1e-6)

    def moved(self, index: int, motion: Motion) -> Scene:
        """The scene after thing `index` was dragged; an affine motion stretches what is beyond the thing's seam.

        Raises:
            UserError: an affine motion of a thing without a seam.
        """
        thing = self.things[index]
        changed = list(self.things)
        if motion.type == "affine":
            if thing.seam is None or motion.factor is None:
                raise UserError(f"{thing.name} has no seam to stretch from: use translate, rotate or scale")
            changed[index] = replace(thing, bend=thing.bend * motion.factor)
        else:
            for i in self.moving(index):
                changed[i] = changed[i].moved(motion, self.unit)
        return replace(self, things=tuple(changed))

    def copied(self, index: int, motion: Motion) -> Scene:
        """The scene in which thing `index` stays, and is where a motion takes it as well, just in front of itself."""
        moving, moved = self.moving(index), self.moved(index, motion)
        group = 1 + max(thing.group for thing in self.things)
        last = max(moving) + 1
        copies = tuple(replace(moved.things[i], group=group) for i in moving)
        return replace(self, things=(*self.things[:last], *copies, *self.things[last:]))

    def without(self, index: int) -> Scene:
        """The scene without thing `index` and all that moves with it."""
        moving = self.moving(index)
        return replace(self, things=tuple(thing for i, thing in enumerate(self.things) if i not in moving))


def scene(
    seed: int,
    size: int | tuple[int, int] = 256,
    split: str = "train",
    count: int | None = None,
    limb: bool | None = None,
    seam: bool = False,
    background: str | None = None,
) -> Scene:
    """Scene number `seed`, always the same: `count` objects (1 to 4 by default), perhaps with a limb.

    Args:
        seed: the number; the draws follow from it alone.
        size: side or (h, w) in pixels, each at least 32.
        split: which sprites may occur, as in `atlas.names`.
        count: number of objects.
        limb: whether the first object has a limb; by chance if None.
        seam: whether the first object has a seam to stretch from.
        background: kind of the background; by chance if None.

    Raises:
        UserError: a size, split or kind of background that is not allowed.
    """
    rng = np.random.default_rng([seed, 7])
    h, w = (size, size) if isinstance(size, int) else size
    if min(h, w) < 32:
        raise UserError(f"a scene of {w} x {h} pixels is too small: each side must be at least 32")
    wide, tall = w / min(h, w), h / min(h, w)
    number = count if count is not None else int(rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.22, 0.13]))
    chosen = [str(name) for name in rng.choice(atlas.names(split), number, replace=False)]
    spots = _spots(rng, number, wide, tall)
    items: list[Thing] = []
    for group, (name, (x, y, extent)) in enumerate(zip(chosen, spots, strict=True)):
        degrees = float(rng.normal(0, 9)) if rng.uniform() < 0.5 else 0.0
        pose = things.pose((x, y), extent, degrees, mirror=bool(rng.uniform() < 0.5))
        bent = (float(rng.uniform(-0.12, 0.12)), int(rng.choice([-1, 1]))) if seam and group == 0 else None
        items.append(Thing("sprite", name, pose, group=group, seam=bent and bent[0], side=bent[1] if bent else 1))
    has_limb = bool(rng.uniform() < 0.18) if limb is None else limb
    if has_limb:
        items[1:1] = _limb(rng, items[0], spots[0])
    return Scene(seed, (h, w), backgrounds.background(rng, background), lights.light(rng), tuple(items))


def _spots(rng: np.random.Generator, number: int, wide: float, tall: float) -> list[tuple[float, float, float]]:
    """Centres and extents (x, y, extent), in shares of the smaller side, that are apart or overlap a little."""
    largest = {1: 0.52, 2: 0.46, 3: 0.40}.get(number, 0.36)
    spots: list[tuple[float, float, float]] = []
    while len(spots) < number:
        extent = float(rng.uniform(0.24, largest))
        x = y = 0.5
        for _ in range(12):  # then the last draw stands, however much it overlaps: a crowded scene still gets drawn
            x = float(rng.uniform(0.42 * extent, wide - 0.42 * extent))
            y = float(rng.uniform(0.42 * extent, tall - 0.42 * extent))
            if all(math.hypot(x - cx, y - cy) > 0.37 * (extent + other) for cx, cy, other in spots):
                break
        spots.append((x, y, extent))
    return spots


def _limb(rng: np.random.Generator, owner: Thing, spot: tuple[float, float, float]) -> list[Thing]:
    """An arm of the owner: a bar from its shoulder outwards, and the cap that covers its root."""
    x, y, extent = spot
    side = 1 if x < 0.5 else -1
    shoulder = (x + side * 0.16 * extent, y + float(rng.uniform(-0.05, 0.12)) * extent)
    angle = float(rng.uniform(-50, 50)) + (0 if side > 0 else 180)
    colour = str(rng.choice(LIMB_COLOURS))
    tint = np.clip(np.array(backgrounds.PALETTE[colour]) + rng.uniform(-0.08, 0.08, 3), 0.05, 0.95)
    paint = (float(tint[0]), float(tint[1]), float(tint[2]))
    pose = things.pose(shoulder, float(rng.uniform(0.55, 0.75)) * extent, angle)
    arm = Thing("limb", colour, pose, "limb", owner.group, paint)
    return [arm, replace(arm, role="cap")]
