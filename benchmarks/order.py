"""How well it is told that a thing is behind another one, and what passing behind brings to the preview.

    python benchmarks/order.py [--scenes 300] [--dragged 200] [--first 0]

Told: in drawn scenes of three things one is put partly over or under another one, and then moved on by 12 pixels of
256; the share is counted in which what is in front of it is told from the picture alone, and in which something is that
is not. Dragged: held-out scenes whose thing ends under another one that it did not touch before, which no picture can
tell: the preview with what is found there in front, and with what a person would mark, less the preview in front of
all; dB in the area, paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from truths import parser

from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.bench.metrics.truth import psnr
from dragflow.core.arrays import Mask, Pixels
from dragflow.core.errors import UserError
from dragflow.core.motion import Affine
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels import masks
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.world import DragCase, motion
from dragflow.world.scenes import scene

FIRST = 90_000
"""Number of the first scene of three things."""
FURTHER = 12
"""Pixels that a thing is moved on."""
NEAR = 0.65
"""Distance of two things, in sums of the radii of discs of their sizes."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One thing that overlaps another one."""

    picture: Pixels
    region: Mask
    further: Affine
    behind: bool


def main() -> None:
    """Print both figures."""
    options = parser(__doc__, scenes=300)
    options.add_argument("--dragged", type=int, default=200)
    args = options.parse_args()
    told: dict[bool, list[bool]] = {True: [], False: []}
    for number in range(args.scenes):
        for pair in overlapping(number):
            asked = Operation(MaskArray(pair.region), pair.further, cut="soft")
            (operation,) = resolve(pair.picture, Instruction((asked,))).operations
            told[pair.behind].append(operation.front is not None)
    print(f"behind: told in {sum(told[True])} of {len(told[True])}")
    print(f"in front: told to be behind in {sum(told[False])} of {len(told[False])}")
    gains = [gain for number in range(args.first, args.first + args.dragged) for gain in dragged(case_of(number))]
    for name, values in zip(("found", "marked"), zip(*gains, strict=True), strict=True):
        print(
            f"{name}: {np.mean(values):+.2f} dB, median {np.median(values):+.2f}, worst {min(values):+.2f}, "
            f"{len(values)} scenes"
        )


def overlapping(number: int) -> Iterator[Pair]:
    """A scene with one thing put over or under another one, if it can be seen then."""
    before = scene(FIRST + number, 256, "test", 3, limb=False)
    one, other = (int(i) for i in np.random.default_rng(number).choice(before.objects, 2, replace=False))
    first, second = (before.alpha(i) > 0.5 for i in (one, other))
    start, end = (np.array(masks.centroid(mask)) for mask in (first, second))
    way = (end - start) / max(1.0, float(np.linalg.norm(end - start)))
    distance = NEAR * sum(math.sqrt(mask.sum() / math.pi) for mask in (first, second))
    after = before.moved(one, motion.translate(tuple((end - way * distance - start).tolist())))
    covered = (after.alpha(one) > 0.5) & second
    region = after.visible(one) > 0.5
    if 0.05 < covered.sum() / min(first.sum(), second.sum()) < 0.6 and region.sum() > 300:
        dx, dy = (way * FURTHER).tolist()
        further = Affine(((1.0, 0.0, dx), (0.0, 1.0, dy)), label="relocation")
        yield Pair(after.render(), region, further, other > one)


def dragged(case: DragCase) -> Iterator[tuple[float, float]]:
    """The gains of a scene whose thing ends under another one that it did not touch before."""
    if case.moved.hidden(case.index) <= 0.03 or case.scene.hidden(case.index) >= 0.03:
        return
    sample = as_sample(str(case.seed), drawn(case))
    image, asked = sample.image.pixels, sample.instruction
    above = [alpha[..., 3] > 0.5 for i, alpha in enumerate(case.scene.layers) if i > max(case.scene.moving(case.index))]
    marked = np.logical_or.reduce(above) & ~case.mask

    def shown(behind: MaskArray | bool) -> float:
        operations = tuple(replace(operation, behind=behind) for operation in asked.operations)
        try:
            drawn = draw_preview(resolve(image, replace(asked, operations=operations)))
        except UserError:  # nothing is found
            return base
        return psnr(drawn, case.target, case.area)

    base = 0.0
    base = shown(False)
    yield shown(True) - base, shown(MaskArray(marked)) - base


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
