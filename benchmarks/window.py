"""A small edit of a large picture: all of it shrunk for the model, or a window at its own resolution.

    python benchmarks/window.py [--scenes 8] [--size 1024 1024] [--working 65536] [--preset default] [--model nano]

Scenes of the world, rendered at `--size` (height, width), in which one thing is made smaller and moved; so the true
picture is known. Each way of each scene runs in a process of its own, whose peak memory is shown, picture and masks
included. Seconds are those of an edit with its inversion, after loading. PSNR is taken in the editable area.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from dragflow import EditConfig, Editor, Instruction, MaskArray, Operation, Translate, load_preset
from dragflow.bench.metrics.truth import psnr
from dragflow.bench.statistics import difference, estimate
from dragflow.core.arrays import Mask, Pixels
from dragflow.editor.metering import peak_memory
from dragflow.pixels.masks import centroid
from dragflow.world import scale, scene, translate
from dragflow.world.cases import editable

SMALLER, WAY = 0.3, 0.09
"""Factor by which the thing is made smaller, and how far it is moved, as a share of the shorter side."""


@dataclass(frozen=True, eq=False)
class Case:
    """A large picture, a small edit of it, and the truth."""

    source: Pixels
    instruction: Instruction
    truth: Pixels
    area: Mask


def case(seed: int, size: tuple[int, int]) -> Case | None:
    """A scene with a small thing that moves towards the middle; None if something hides it."""
    large = scene(seed, size, "test", limb=False)
    index, unit = large.objects[-1], large.unit
    centre = centroid(large.alpha(index) > 0.5)
    before = large.moved(index, scale(centre, SMALLER))
    inwards = np.sign([size[1] / 2 - centre[0], size[0] / 2 - centre[1]]) * WAY * unit
    offset = (float(inwards[0]), float(inwards[1]) / 2)
    after = before.moved(index, translate(offset))
    if before.hidden(index) > 0.01 or after.hidden(index) > 0.01:
        return None
    mask, source, truth = before.visible(index) > 0.5, before.render(), after.render()
    changed = np.abs(source.astype(np.int16) - truth).max(axis=-1) > 6
    x, y = centroid(mask)
    move = Operation(MaskArray(mask), Translate((x + offset[0], y + offset[1]), label="relocation"))
    area = editable(mask | changed)
    return Case(source, Instruction((move,), editable=MaskArray(area)), truth, area)


def work(given: Case, config: EditConfig, model: str) -> dict[str, float]:
    """One edit in this process."""
    editor = Editor.load(model)
    begun = time.perf_counter()
    result = editor.open(given.source, config=config).edit(given.instruction, config)
    seconds = time.perf_counter() - begun
    left, top, right, bottom = result.provenance.recipe.config.size.box or (0, 0, *given.area.shape[::-1])
    return {
        "seconds": seconds,
        "memory": peak_memory(),
        "psnr": psnr(result.pixels, given.truth, given.area),
        "megapixels": (right - left) * (bottom - top) / 1e6,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1024))
    parser.add_argument("--working", type=int, default=65536, help="size.max_pixels")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--model", default="nano")
    args = parser.parse_args()
    rows: dict[str, dict[str, dict[str, float]]] = {"whole": {}, "auto": {}}
    shares: list[float] = []
    seed = args.first
    while len(shares) < args.scenes:
        found = case(seed, tuple(args.size))
        seed += 1
        if found is None:
            continue
        shares.append(float(found.area.mean()))
        for way, of_way in rows.items():
            size: dict[str, Any] = {"max_pixels": args.working, "window": way}
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                config = load_preset(args.preset).with_(size=size)
                of_way[str(seed)] = pool.apply(work, (found, config, args.model))
            print(seed - 1, way, of_way[str(seed)], flush=True)
    print(f"the area is {100 * np.mean(shares):.2f} % of {args.size[1]} x {args.size[0]} pixels\n")
    print("| the model sees | megapixels | seconds | peak MiB | PSNR in the area |\n|---|---|---|---|---|")
    for way, of_way in rows.items():
        mean = {key: estimate([row[key] for row in of_way.values()]).value for key in next(iter(of_way.values()))}
        print(
            f"| {way} | {mean['megapixels']:.3f} | {mean['seconds']:.1f} | {mean['memory']:.0f} | {mean['psnr']:.2f} |"
        )
    if args.scenes > 1:
        auto, whole = ({key: row["psnr"] for key, row in rows[way].items()} for way in ("auto", "whole"))
        gain = difference(auto, whole)
        print(f"\ngain: {gain.value:+.2f} dB ({gain.low:+.2f} to {gain.high:+.2f})")


if __name__ == "__main__":
    main()
