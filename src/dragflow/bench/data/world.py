"""Held-out scenes of the procedural world as a data set: the true picture after the drag is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np

from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.motion import Motion as Asked
from dragflow.core.motion import Remove
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files.pictures import SourceImage, from_pixels
from dragflow.pixels import masks
from dragflow.world import DragCase, drag_case
from dragflow.world.cases import Context
from dragflow.world.motion import Motion

SIZE = 256
POINTS = 3
"""Point pairs for point-based methods: about as many as a person would click."""


@dataclass(frozen=True)
class World:
    """Scenes `first` to `first + count - 1`, with objects that are held out from every training."""

    first: int
    count: int
    kind: str | None = None
    """One of `dragflow.world.cases.STILL_KINDS`; None: drags of all kinds."""

    @property
    def name(self) -> str:
        """The name in reports."""
        kind = "" if self.kind is None else f" ({self.kind})"
        return f"dragflow world{kind}, scenes {self.first} to {self.first + self.count - 1}"

    @property
    def ids(self) -> Sequence[str]:
        """The numbers of the scenes."""
        return [str(number) for number in range(self.first, self.first + self.count)]

    def load(self, sample: str) -> Sample:
        """Draw one scene."""
        return as_sample(sample, drawn(case_of(int(sample), self.kind)))


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a sample is made of: a scene just drawn, or one read from the folder that it was exported to."""

    kind: str
    image: SourceImage
    mask: Mask
    area: Mask
    """The world's own editable area, which covers the shadows too."""
    motion: Motion
    truth: Pixels | None
    target_mask: Mask | None
    caption: str
    edit: str
    context: Context


def case_of(scene: int, kind: str | None = None) -> DragCase:
    """Held-out scene `scene`, with a drag of a kind, or of the one that is drawn for it."""
    return drag_case(scene, kind, SIZE, "test")


def drawn(case: DragCase) -> Drawn:
    """A case that was just drawn."""
    return Drawn(
        kind=case.kind,
        image=from_pixels(case.source),
        mask=case.mask,
        area=case.area,
        motion=case.motion,
        truth=case.target,
        target_mask=case.target_mask,
        caption=case.caption,
        edit=case.edit,
        context=case.context,
    )


def as_sample(name: str, scene: Drawn) -> Sample:
    """A scene as a sample; its points are spread over the region and move with it."""
    context = [name for name, present in asdict(scene.context).items() if present]
    pairs = [(p, scene.motion.apply(p)) for p in spread_points(scene.mask, POINTS)]
    pairs = [(p, q) for p, q in pairs if masks.inside(q, scene.image.size) and scene.kind != "remove"]
    operation = Operation(MaskArray(scene.mask, invert=False), _asked(scene))
    return Sample(
        id=name,
        category=scene.kind,
        image=scene.image,
        instruction=Instruction((operation,), scene.caption, scene.edit, MaskArray(scene.area)),
        begin_points=tuple(p for p, _ in pairs),
        target_points=tuple(q for _, q in pairs),
        truth=scene.truth,
        target_mask=scene.target_mask,
        tags=("context", *context) if context else ("plain",),
    )


def _asked(scene: Drawn) -> Asked:
    if scene.kind == "remove":
        return Remove()
    motion = scene.motion.asked(masks.centroid(scene.mask), scene.image.size)
    return replace(motion, label="copy") if scene.kind == "copy" and not isinstance(motion, Remove) else motion


def spread_points(mask: Mask, count: int) -> tuple[Point, ...]:
    """Points of a region, far from each other and from its rim.

    The first is the innermost; each of the others is the one farthest from all before it.
    """
    ys, xs = np.nonzero(mask)
    depth = np.asarray(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5))[ys + 1, xs + 1]
    inner = depth >= 0.5 * depth.max()
    candidates = np.stack([xs, ys], axis=1)[inner].astype(float)
    chosen = [candidates[int(np.argmax(depth[inner]))]]
    while len(chosen) < min(count, len(candidates)):
        distance = np.min([np.hypot(*(candidates - p).T) for p in chosen], axis=0)
        chosen.append(candidates[int(np.argmax(distance))])
    return tuple((float(x), float(y)) for x, y in chosen)
