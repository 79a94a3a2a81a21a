"""What blending in the gradient domain would do to the preview's seams, against the estimated rim that it has.

    python benchmarks/seams.py [--scenes 40] [--first 0] [--pixels 4]

Held-out scenes, their regions painted exactly, too large and shifted, and cut out in every way; each is drawn once as
the preview draws it, and once with what moved blended in (Pérez, Gangnet, Blake 2003: it keeps its gradients and takes
the colours of its new place along its rim). Figures are mean and median differences in dB, blended less not
blended, paired, with 95 % intervals of the mean (bootstrap).
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import replace
from itertools import product

import cv2
import numpy as np
from careless_masks import CUTS, MEASURES, painted
from numpy.typing import NDArray

from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.bench.metrics.truth import psnr
from dragflow.bench.sample import Sample
from dragflow.bench.statistics import difference
from dragflow.core.arrays import Mask, Pixels
from dragflow.core.task import Cut, DragTask, MaskArray
from dragflow.pixels import masks
from dragflow.pixels.fill.membrane import membrane
from dragflow.pixels.layers import layers_of
from dragflow.pixels.matte import CutOut
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

REGIONS = ("exact", "large", "shifted")


def main() -> None:
    """Draw every scene with every region and cut, print a Markdown table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pixels", type=int, default=4)
    args = parser.parse_args()
    found: dict[tuple[str, Cut, str, bool], dict[int, float]] = {}
    for number in range(args.first, args.first + args.scenes):
        sample = as_sample(str(number), drawn(case_of(number)))
        regions = painted(sample.task.operations[0].mask, args.pixels)
        for name, cut in product(REGIONS, CUTS):
            task = with_region(sample, regions[name], cut)
            if any(operation.is_cut for operation in task.operations):
                for blend in (False, True):
                    for measure, value in zip(MEASURES, scores(sample, drawing(task, blend=blend)), strict=True):
                        if np.isfinite(value):
                            found.setdefault((name, cut, measure, blend), {})[number] = value
    print("| region | cut |" + "".join(f" {measure}, dB | median |" for measure in MEASURES))
    print("|---|---|" + "---|---|" * len(MEASURES))
    for name, cut in product(REGIONS, CUTS):
        cells = ""
        for measure in MEASURES:
            pair = found[name, cut, measure, True], found[name, cut, measure, False]
            mean, middle = difference(*pair), difference(*pair, "median")
            cells += f" {mean.value:+.2f} ({mean.low:+.2f} to {mean.high:+.2f}) | {middle.value:+.2f} |"
        print(f"| {name} | {cut} |{cells}")


def with_region(sample: Sample, region: Mask, cut: Cut) -> DragTask:
    """The sample's task with another region, which moves as the exact one does."""
    (asked,), exact = sample.instruction.operations, sample.task.operations[0]
    operation = replace(asked, region=MaskArray(region), handle=exact.handle, cut=cut)
    return resolve(sample.image.pixels, replace(sample.instruction, operations=(operation,)))


def drawing(task: DragTask, *, blend: bool) -> Pixels:
    """The preview, with what moved blended in if so."""
    layers = layers_of(task)
    shown = draw_preview(task, layers)
    if not blend:
        return shown
    (layer,), (operation,) = layers.regions, task.operations
    nothing = replace(layer, piece=CutOut(layer.piece.alpha * 1e-6, layer.piece.colours))
    under = draw_preview(task, replace(layers, regions=(nothing,))).astype(np.float32)
    colours, share = layer.piece.moved(operation.matrix(), task.area.shape)
    inside = (share[..., 0] > 0.5) & task.area
    return np.where(inside[..., None], blended(colours, under, inside), shown)


def blended(colours: NDArray[np.floating], under: NDArray[np.floating], inside: Mask) -> Pixels:
    """Colours (H, W, 3) with what differs along the rim of `inside` (H, W) taken away evenly."""
    window = masks.window(inside, 2)
    change = membrane((under - colours)[window], inside[window])
    result = colours.copy()
    result[window] += change
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


def scores(sample: Sample, shown: Pixels) -> list[float]:
    """PSNR in the area, the target and the vacated part."""
    assert sample.truth is not None
    assert sample.target_mask is not None
    places = (sample.task.area, sample.target_mask, sample.task.operations[0].mask & ~sample.target_mask)
    return [psnr(shown, sample.truth, place) for place in places]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
