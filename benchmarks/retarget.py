"""The preview while a hand looks for the place: a region for the first time, and the same one at new targets.

    OMP_NUM_THREADS=1 python benchmarks/retarget.py [--sizes 256 1024] [--targets 8]

A scene of the world at each size, its object moved as a whole and as a part (by label); median seconds of one thread.
"First" is resolving, layers and composition; "again" the same with the layers kept and what was guessed settled.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import cv2
import numpy as np

from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.core.arrays import Mask, Pixels
from dragflow.core.motion import Label, Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.pixels.layers import Kept
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve


def main() -> None:
    """Measure and print a Markdown table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--scene", type=int, default=0)
    args = parser.parse_args()
    print("| picture | label | first, s | again, s |\n|---|---|---|---|")
    sample = as_sample(str(args.scene), drawn(case_of(args.scene)))
    for side in args.sizes:
        image, mask = enlarged(sample.image.pixels, sample.task.operations[0].mask, side)
        for label in ("relocation", "deformation"):
            first, again = seconds(image, mask, label, args.targets)
            print(f"| {side} x {side} | {label} | {first:.2f} | {again:.3f} |")


def enlarged(image: Pixels, mask: Mask, side: int) -> tuple[Pixels, Mask]:
    """A square picture and a mask on it at another size, with some grain."""
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 2, large.shape)
    region = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR) > 0.5
    return np.clip(large + grain, 0, 255).astype(np.uint8), region


def seconds(image: Pixels, mask: Mask, label: Label, targets: int) -> tuple[float, float]:
    """Of the first preview, and of one at a new target."""
    side = len(image)
    ys, xs = np.nonzero(mask)
    kept, handle = Kept(), (float(xs.mean()), float(ys.mean()))

    def moved(step: int) -> Operation:
        to = (handle[0] + (step + 2) * side / 64, handle[1] + (step + 1) * side / 96)
        return Operation(MaskArray(mask), Translate(to, label=label), handle=handle)

    def shown(operation: Operation) -> Operation:
        task = resolve(image, Instruction((operation,)))
        draw_preview(task, kept.of(task))
        return task.instruction.operations[0]

    settled, first = timed(lambda: shown(moved(0)))
    others = [replace(settled, motion=moved(step).motion) for step in range(1, targets + 1)]
    return first, median(timed(lambda one=one: shown(one))[1] for one in others)


def timed(work: Callable[[], Operation]) -> tuple[Operation, float]:
    """What work gives, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
