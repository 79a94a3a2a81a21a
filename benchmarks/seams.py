"""What blending in the gradient domain would do to the preview's seams, against the estimated rim that it has.

    python benchmarks/seams.py [--scenes 40] [--first 0] [--pixels 4]

Held-out scenes, their regions painted exactly, too large and shifted, and cut out in every way; each is drawn once as
the preview draws it, and once with what moved blended in (Pérez, Gangnet, Blake 2003: it keeps its gradients and takes
the colours of its new place along its rim). Figures are mean and median differences in dB, blended less not
blended, paired, with 95 % intervals of the mean (bootstrap).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from truths import CUTS, PLACES, Scores, Truth, gain_cells, gain_titles, parser, scene, with_region

from dragflow.core.arrays import Mask, Pixels
from dragflow.core.task import Cut, DragTask
from dragflow.pixels import masks
from dragflow.pixels.fill.membrane import membrane
from dragflow.pixels.layers import layers_of
from dragflow.pixels.matte import CutOut
from dragflow.pixels.preview import draw_preview
from dragflow.train.drags import painted

REGIONS = ("exact", "large", "shifted")


def main() -> None:
    """Draw every scene with every region and cut, print a Markdown table."""
    options = parser(__doc__, scenes=40)
    options.add_argument("--pixels", type=int, default=4)
    args = options.parse_args()
    found = defaultdict[tuple[str, Cut, bool], Scores](lambda: {place: {} for place in PLACES})
    for number in range(args.first, args.first + args.scenes):
        sample = scene(number)
        regions = painted(sample.task.operations[0].mask, args.pixels)
        for name, cut in product(REGIONS, CUTS):
            task = with_region(sample, regions[name], cut)
            if any(operation.is_cut for operation in task.operations):
                for blend in (False, True):
                    for place, value in Truth.of(sample).scores(drawing(task, blend=blend)).items():
                        found[name, cut, blend][place][number] = value
    print(gain_titles("region", "cut"))
    for name, cut in product(REGIONS, CUTS):
        print(f"| {name} | {cut} |{gain_cells(found[name, cut, True], found[name, cut, False])}")


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


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
