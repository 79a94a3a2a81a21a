"""What careless painting costs the preview: regions too small, too large and shifted, against the exact ones.

    python benchmarks/careless_masks.py [--scenes 40] [--first 0] [--pixels 4]

Each held-out scene is previewed with its exact region and with three careless ones, for every way of cutting out. A
photograph that people paint on has about 512 pixels, and 8 of them are 4 of a scene's 256. The motion is always that of
the exact region. Figures are mean and median differences in dB, paired, with 95 % intervals of the mean (bootstrap).
"""

from __future__ import annotations

from collections import defaultdict

import cv2
from truths import CUTS, PLACES, Scores, Truth, gain_cells, gain_titles, parser, scene, with_region

from dragflow.core.task import Cut
from dragflow.pixels.preview import draw_preview
from dragflow.train.drags import painted

SMALLEST = 10
"""Pixels that must be left of a region that is painted too small."""


def main() -> None:
    """Preview every scene with every region, print a Markdown table."""
    options = parser(__doc__, scenes=40)
    options.add_argument("--pixels", type=int, default=4)
    args = options.parse_args()
    found = defaultdict[tuple[str, Cut], Scores](lambda: {place: {} for place in PLACES})
    for number in range(args.first, args.first + args.scenes):
        sample = scene(number)
        for name, region in painted(sample.task.operations[0].mask, args.pixels).items():
            for cut in CUTS if region.sum() >= SMALLEST else ():
                shown = draw_preview(with_region(sample, region, cut))
                for place, value in Truth.of(sample).scores(shown).items():
                    found[name, cut][place][number] = value
    print(gain_titles("region", "cut", "against"))
    for name, cut, base in rows():
        print(f"| {name} | {cut} | {base[0]}, {base[1]} |{gain_cells(found[name, cut], found[base])}")


def rows() -> list[tuple[str, Cut, tuple[str, Cut]]]:
    """Each region and cut, and what it is compared with: itself cut hard if it is exact, else the exact region."""
    exact: list[tuple[str, Cut, tuple[str, Cut]]] = [("exact", cut, ("exact", "hard")) for cut in CUTS[1:]]
    return exact + [(name, cut, ("exact", cut)) for name in ("small", "large", "shifted") for cut in CUTS]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
