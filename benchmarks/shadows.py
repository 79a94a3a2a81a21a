"""How often a region's shadow is found: on scenes of the world that have one or none, and on regions of photographs.

    python benchmarks/shadows.py --samples ../shared/samples

On the world an offset counts as right within 2.5 % of the picture's smaller side. Photographs get the random regions of
`benchmarks/holes.py`, which are not objects and cast nothing, and the painted regions that samples bring.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import numpy as np
from holes import holes
from PIL import Image

from dragflow.bench.data.world import case_of
from dragflow.pixels.shadow import find_shadow

NEAR = 0.025


def main() -> None:
    """Count and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="a folder with samples, at any depth")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--holes", type=int, default=4, help="random regions of each photograph")
    args = parser.parse_args()
    world(range(args.first, args.first + args.scenes))
    found = [hole.name for hole in holes(args.samples, args.holes, 512) if find_shadow(hole.image, hole.mask)]
    print(f"random regions of photographs: {len(found)} false {found}")
    if args.samples:
        for path in sorted(args.samples.rglob("operation.png")):
            image = np.asarray(Image.open(path.with_name("original_image.png")).convert("RGB"))
            region = np.asarray(Image.open(path).convert("L")) > 127
            print(f"{path.parent.name}: {'found' if find_shadow(image, region) else 'none'}")


def world(scenes: range) -> None:
    """Print how many shadows were found and where there are none."""
    casting = right = found = plain = false = 0
    for case in map(case_of, scenes):
        shadow, light = find_shadow(case.source, case.mask), case.scene.light
        if case.context.shadow:
            casting += 1
            found += shadow is not None
            if shadow:
                x, y = (value / case.scene.unit for value in shadow.offset)
                right += math.dist((x, y), light.shadow_offset) < NEAR
        else:
            plain += 1
            false += shadow is not None
    print(f"world, regions with a shadow: {found} of {casting} found, {right} of them where it is")
    print(f"world, regions without: {false} of {plain} false")


if __name__ == "__main__":
    main()
