"""What the preview makes of deformations, against the truth; and how often the label is guessed right.

    python benchmarks/deformations.py [--scenes 200] [--first 0] [--vfd FOLDER]

Drags whose true picture is known: parts of a thing beyond a seam that are stretched or shrunk, limbs that turn about
their joint, and the video frames of VFD-Bench. Each is left as it is, cut out (labelled relocation), stretched
(labelled deformation), and previewed with the label that is guessed. All are compared with the first, pair by pair, in
the area. Labels are counted on scenes of every kind: a limb and the part beyond a seam are parts, anything else is a
whole object.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from dragflow.bench.data.registry import open_data
from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.bench.metrics.truth import psnr, ssim
from dragflow.bench.sample import Sample
from dragflow.bench.statistics import Estimate, difference, estimate
from dragflow.core.motion import Label
from dragflow.core.task import DragTask, Instruction
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.world import DragCase, drag_case

WAYS: dict[str, Label | None] = {"cut out": "relocation", "stretched": "deformation", "guessed": None}
Scores = dict[str, dict[str, float]]
"""Way -> sample -> score."""


def is_limb(case: DragCase) -> bool:
    """Whether an arm is dragged, and not a whole thing."""
    return case.scene.things[case.index].role == "limb"


def of_world(kind: str, first: int, count: int) -> Iterator[Sample]:
    """`count` scenes of a kind from scene `first` on."""
    scene = first
    while count:
        case = drag_case(scene, "rotate" if kind == "limb" else kind, 256, "test")
        if kind != "limb" or is_limb(case):
            yield as_sample(str(scene), drawn(case))
            count -= 1
        scene += 1


def labelled(instruction: Instruction, label: Label | None) -> Instruction:
    """The same with one label for all motions."""
    operations = tuple(replace(op, motion=replace(op.motion, label=label)) for op in instruction.operations)
    return replace(instruction, operations=operations)


def measured(samples: Iterator[Sample]) -> tuple[Scores, Scores]:
    """PSNR and SSIM in the area that the cut-out has, so that all ways are compared in the same place."""
    dbs: Scores = defaultdict(dict)
    likenesses: Scores = defaultdict(dict)
    for sample in samples:
        truth = sample.truth
        if truth is None:
            raise SystemExit(f"{sample.id} has no true picture")
        tasks: dict[str, DragTask] = {
            way: resolve(sample.image.pixels, labelled(sample.instruction, label)) for way, label in WAYS.items()
        }
        shown = {"left as it is": sample.image.pixels} | {way: draw_preview(task) for way, task in tasks.items()}
        area = tasks["cut out"].area
        for way, image in shown.items():
            dbs[way][sample.id] = psnr(image, truth, area)
            likenesses[way][sample.id] = ssim(image, truth, area)
    return dbs, likenesses


def row(name: str, dbs: Scores, likenesses: Scores) -> Iterator[str]:
    """Lines of a Markdown table."""
    still = "left as it is"
    for way in (still, *WAYS):
        cells = [f"{estimate(scores[way].values()).value:.{digits}f}" for scores, digits in ((dbs, 2), (likenesses, 3))]
        gains = [
            gain(difference(scores[way], scores[still]), digits) if way != still else ""
            for scores, digits in ((dbs, 2), (likenesses, 3))
        ]
        yield f"| {name} ({len(dbs[way])}) | {way} | {cells[0]} | {gains[0]} | {cells[1]} | {gains[1]} |"


def gain(found: Estimate, digits: int) -> str:
    """A difference with its interval."""
    return f"{found.value:+.{digits}f} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"


def labels(first: int, count: int) -> Counter[tuple[str, str]]:
    """(what is dragged, the label that is guessed), counted."""
    counts: Counter[tuple[str, str]] = Counter()
    for scene in range(first, first + count):
        case = case_of(scene)
        kind = "limb" if is_limb(case) else "part beyond a seam" if case.kind == "stretch" else "whole object"
        task = resolve(case.source, labelled(as_sample(str(scene), drawn(case)).instruction, None))
        counts[kind, str(task.operations[0].motion.label)] += 1
    return counts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200, help="scenes for the labels, and a quarter of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--vfd", help="a folder of VFD-Bench samples")
    args = parser.parse_args()
    sources = {kind: of_world(kind, args.first, args.scenes // 4) for kind in ("stretch", "limb")}
    if args.vfd:
        data = open_data(args.vfd)
        sources["VFD-Bench"] = (data.load(name) for name in data.ids)
    print("| drags | preview | PSNR | gain, dB | SSIM | gain |\n|---|---|---|---|---|---|")
    for name, samples in sources.items():
        print("\n".join(row(name, *measured(samples))), flush=True)
    counts = labels(args.first, args.scenes)
    right = sum(n for (kind, label), n in counts.items() if (label == "relocation") == (kind == "whole object"))
    print(f"\nlabels: {right} of {counts.total()} right")
    for (kind, label), n in sorted(counts.items()):
        print(f"- {kind}, taken for {label}: {n}")


if __name__ == "__main__":
    main()
