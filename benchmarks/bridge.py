"""What a bridge adds to the preview that it starts from, against the truth.

    python benchmarks/bridge.py BRIDGE [--model FOLDER] [--content world] [--scenes 40] [--first 5000] [--sheet FILE]

BRIDGE is a file that `python -m dragflow.train export-bridge` wrote, for the model in FOLDER (nano if none is named).
Scenes are held out, of the world or, with `--content photograph`, things moved over photographs that no training has
seen, with regions painted as people paint. Figures are mean differences in dB, paired by scene, with 95 % intervals
(bootstrap), over all scenes and over those that contain what pasting gets wrong; the preview's own are medians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image
from truths import PLACES, Scores, Truth, gain, parser, scene

from dragflow import backbones
from dragflow.bench.metrics.truth import ssim
from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.core.task import DragTask
from dragflow.pixels.resolve import resolve
from dragflow.train import bridge, drags, latents, state
from dragflow.train.bridge import BridgeModel
from dragflow.train.drags import Content, Pair
from dragflow.train.flow import FlowConfig
from dragflow.train.latents import Coder
from dragflow.world.cases import part

NANO = Path(backbones.__file__).parent / "nano"
SIZE = 256
MEASURES = (*PLACES, "SSIM")
LEAST = 3
"""Scenes that a row must have."""


@dataclass(frozen=True, eq=False)
class Case:
    """A task whose truth is known."""

    task: DragTask
    truth: Truth
    tags: tuple[str, ...]


def main() -> None:
    """Measure every scene, print a Markdown table."""
    options = parser(__doc__, scenes=40, first=5000)
    options.add_argument("bridge", type=Path)
    options.add_argument("--model", type=Path, default=NANO)
    options.add_argument("--content", choices=("world", "photograph"), default="world")
    options.add_argument("--sheet", type=Path, help="PNG of source, preview, bridge and truth")
    args = options.parse_args()
    model, coder = bridge.exported(args.bridge, args.model), latents.exported(args.model, FlowConfig().vae, "cpu")
    own: Scores = {name: {} for name in MEASURES}
    bridged: Scores = {name: {} for name in MEASURES}
    tags: dict[str, set[int]] = {}
    rows: list[Pixels] = []
    for number in range(args.first, args.first + args.scenes):
        case = case_for(args.content, number)
        pair = drags.pair_of(case.task, case.truth.picture)
        picture = made(model, coder, pair)
        for found, shown in ((own, pair.preview), (bridged, picture)):
            for name, value in scores(case.truth, shown).items():
                found[name][number] = value
        for tag in ("all", *case.tags):
            tags.setdefault(tag, set()).add(number)
        rows.append(np.concatenate([pair.source, pair.preview, picture, pair.truth], axis=1))
    print(table(own, bridged, tags))
    if args.sheet is not None:
        Image.fromarray(np.concatenate(rows)).save(args.sheet)


def case_for(content: Content, number: int) -> Case:
    """Held-out scene `number`."""
    if content == "world":
        sample = scene(number)
        task = resolve(sample.image.pixels, sample.instruction)
        return Case(task, replace(Truth.of(sample), area=task.area), sample.tags)
    tried = (_moved_case(content, number, attempt) for attempt in count())
    return next(case for case in tried if case is not None)


def _moved_case(content: Content, number: int, attempt: int) -> Case | None:
    """A drag with regions painted as people paint; None if these overlap."""
    rng = np.random.default_rng([number, attempt, 37])
    moved = drags.drag(rng, SIZE, "test", content)
    try:
        task = resolve(moved.before.render(), drags.asked(rng, moved))
    except UserError:
        return None
    target, left = (
        np.logical_or.reduce([part(seen, index) for index, _ in moved.moves]) for seen in (moved.after, moved.before)
    )
    tags = ["shadow"] * moved.before.light.shadows + ["light"] * moved.before.light.varies
    truth = Truth(moved.after.render(), task.area, target, left)
    return Case(task, truth, (*tags, "one motion" if len(moved.moves) == 1 else "two"))


@torch.no_grad()
def made(model: BridgeModel, coder: Coder, pair: Pair) -> Pixels:
    """What the bridge makes of a preview."""
    batch = bridge.batch_of(Pair.stacked([pair]), coder)
    return state.to_pixels(bridge.bridged(model, coder, batch))[0]


def scores(truth: Truth, shown: Pixels) -> dict[str, float]:
    """PSNR in the area, the target and the vacated part, and SSIM in the area, where they are finite."""
    alike = ssim(shown, truth.picture, truth.area)
    return truth.scores(shown) | ({"SSIM": alike} if np.isfinite(alike) else {})


def table(own: Scores, bridged: Scores, tags: Mapping[str, set[int]]) -> str:
    """Gains by what the scenes contain, as Markdown."""
    lines = [f"| scenes | number |{''.join(f' preview, {m} | gain |' for m in MEASURES)} better in the area |"]
    lines.append("|---" * (3 + 2 * len(MEASURES)) + "|")
    for tag, numbers in tags.items():
        if len(numbers) < LEAST:
            continue
        cells = ""
        for name in MEASURES:
            before, after = ({n: found[name][n] for n in numbers if n in found[name]} for found in (own, bridged))
            digits = 3 if name == "SSIM" else 2
            cells += f" {median(before.values()):.{digits}f} | {gain(after, before, digits)} |"
        better = np.mean([bridged["area"][n] > own["area"][n] for n in numbers])
        lines.append(f"| {tag} | {len(numbers)} |{cells} {better:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    main()
