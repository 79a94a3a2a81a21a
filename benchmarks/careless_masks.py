"""What careless painting costs the preview: regions too small, too large and shifted, against the exact ones.

    python benchmarks/careless_masks.py [--scenes 40] [--first 0] [--pixels 4]

Each held-out scene is previewed with its exact region and with three careless ones, for every way of cutting out. A
photograph that people paint on has about 512 pixels, and 8 of them are 4 of a scene's 256. The motion is always that of
the exact region. Figures are mean and median differences in dB, paired, with 95 % intervals of the mean (bootstrap).
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import replace

import cv2
import numpy as np

from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.bench.metrics.truth import psnr
from dragflow.bench.sample import Sample
from dragflow.bench.statistics import difference
from dragflow.core.arrays import Mask
from dragflow.core.task import Cut, MaskArray
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.train.drags import painted

CUTS: tuple[Cut, ...] = ("hard", "soft", "snap")
MEASURES = ("area", "target", "vacated")
SMALLEST = 10
"""Pixels that must be left of a region that is painted too small."""


def main() -> None:
    """Preview every scene with every region, print a Markdown table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pixels", type=int, default=4)
    args = parser.parse_args()
    found: dict[tuple[str, Cut, str], dict[int, float]] = {}
    for number in range(args.first, args.first + args.scenes):
        sample = as_sample(str(number), drawn(case_of(number)))
        for name, region in painted(sample.task.operations[0].mask, args.pixels).items():
            for cut in CUTS if region.sum() >= SMALLEST else ():
                for measure, value in zip(MEASURES, scores(sample, region, cut), strict=True):
                    if np.isfinite(value):
                        found.setdefault((name, cut, measure), {})[number] = value
    print("| region | cut | against |" + "".join(f" {measure}, dB | median |" for measure in MEASURES))
    print("|---|---|---|" + "---|---|" * len(MEASURES))
    for name, cut, base in rows():
        cells = ""
        for measure in MEASURES:
            pair = found[name, cut, measure], found[(*base, measure)]
            mean, middle = difference(*pair), difference(*pair, "median")
            cells += f" {mean.value:+.2f} ({mean.low:+.2f} to {mean.high:+.2f}) | {middle.value:+.2f} |"
        print(f"| {name} | {cut} | {base[0]}, {base[1]} |{cells}")


def rows() -> list[tuple[str, Cut, tuple[str, Cut]]]:
    """Each region and cut, and what it is compared with: itself cut hard if it is exact, else the exact region."""
    exact: list[tuple[str, Cut, tuple[str, Cut]]] = [("exact", cut, ("exact", "hard")) for cut in CUTS[1:]]
    return exact + [(name, cut, ("exact", cut)) for name in ("small", "large", "shifted") for cut in CUTS]


def scores(sample: Sample, region: Mask, cut: Cut) -> list[float]:
    """PSNR in the area, the target and the vacated part."""
    (asked,), exact = sample.instruction.operations, sample.task.operations[0]
    operation = replace(asked, region=MaskArray(region), handle=exact.handle, cut=cut)
    shown = draw_preview(resolve(sample.image.pixels, replace(sample.instruction, operations=(operation,))))
    assert sample.truth is not None
    assert sample.target_mask is not None
    places = (sample.task.area, sample.target_mask, exact.mask & ~sample.target_mask)
    return [psnr(shown, sample.truth, place) for place in places]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
