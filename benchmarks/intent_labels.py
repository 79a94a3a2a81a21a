"""How often the provider `rules` names the right label, on drags in scenes whose motion is known.

    python benchmarks/intent_labels.py [--each 20] [--first 90000] [--handle grabbed|centroid] [--list]

A drag is an arrow: the region's mask, a point that is grabbed, and where it ends. The scene knows what was meant: a
thing moved (relocation), the part beyond a seam stretched or shrunk (deformation), a thing or an arm turned about an
anchor (rotation). Where a person grabs is a model too: `grabbed` takes any point near the middle of what is moved, one
near the far end of what is stretched, and one far from the anchor of what is turned; `centroid` takes the region's
centroid every time, as the paper's data do, so that the arrow alone tells less. The thresholds of the rules were chosen
on scenes 0 to 9999; what is reported stands on others.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from dragflow.core.arrays import Point
from dragflow.core.errors import UserError
from dragflow.core.motion import Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files.pictures import from_pixels
from dragflow.intent.base import LABELS, IntentRequest, TaskLabel
from dragflow.intent.options import ProviderOptions
from dragflow.intent.registry import load_provider
from dragflow.intent.request import make_request
from dragflow.pixels.masks import centroid
from dragflow.world import DragCase, drag_case

KINDS: dict[TaskLabel, str] = {"relocation": "translate", "deformation": "stretch", "rotation": "rotate"}
SIZE = 256


@dataclass(frozen=True, eq=False)
class Labelled:
    """A drag, and what was meant by it."""

    scene: int
    label: TaskLabel
    request: IntentRequest


def labelled(label: TaskLabel, first: int, handle: str) -> Iterator[Labelled]:
    """Drags of one label in scene `first` and after it; scenes whose arrow would leave the picture are left out."""
    for scene in count(first):
        case = drag_case(scene, KINDS[label], SIZE, "test")
        start = centroid(case.mask) if handle == "centroid" else grabbed(case, label)
        operation = Operation(MaskArray(case.mask), Translate(case.motion.apply(start)), start)
        try:
            request = make_request(from_pixels(case.source), Instruction((operation,)), max_side=SIZE)
        except UserError:
            continue
        yield Labelled(scene, label, request)


def grabbed(case: DragCase, label: TaskLabel) -> Point:
    """Where a person would take hold: drawn from the tenth (to move: half) of the region that fits best."""
    ys, xs = np.nonzero(case.mask)
    points = np.stack([xs, ys], axis=1).astype(float)
    middle = np.array(centroid(case.mask))
    if label == "relocation":
        order, share = np.hypot(*(points - middle).T), 0.5
    elif label == "rotation":
        order, share = -np.hypot(*(points - np.array(case.motion.about)).T), 0.1
    else:  # the farther from the seam, the farther it goes
        matrix = np.array(case.motion.matrix)
        order, share = -np.hypot(*(points @ matrix[:, :2].T + matrix[:, 2] - points).T), 0.1
    best = np.argsort(order, kind="stable")[: max(1, round(share * len(points)))]
    x, y = points[np.random.default_rng([case.seed, 31]).choice(best)]
    return float(x), float(y)


def confusion(each: int, first: int, handle: str) -> tuple[Counter[tuple[str, str]], list[str]]:
    """(meant, said) counted, and a line for each drag that was taken for another."""
    rules = load_provider("rules", ProviderOptions())
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    for label in LABELS:
        for _, drag in zip(range(each), labelled(label, first, handle), strict=False):
            said = rules.propose(drag.request).proposal.candidates[0].label
            counts[label, said] += 1
            if said != label:
                wrong.append(f"scene {drag.scene}: {label}, taken for {said}")
    return counts, wrong


def table(counts: Counter[tuple[str, str]]) -> str:
    """The counts as Markdown, and the share that was right."""
    head = ["| meant \\ said | " + " | ".join(LABELS) + " |", "|---|" + "---|" * len(LABELS)]
    rows = [f"| {meant} | " + " | ".join(str(counts[meant, said]) for said in LABELS) + " |" for meant in LABELS]
    right, total = sum(counts[label, label] for label in LABELS), sum(counts.values())
    return "\n".join([*head, *rows, "", f"{right} of {total} right: {right / total:.1%}"])


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="drags of each label")
    parser.add_argument("--first", type=int, default=90000, help="number of the first scene")
    parser.add_argument("--handle", choices=("grabbed", "centroid"), default="grabbed")
    parser.add_argument("--list", action="store_true", help="name the drags that were taken for another")
    args = parser.parse_args()
    counts, wrong = confusion(args.each, args.first, args.handle)
    print(table(counts))
    if args.list:
        print("\n".join(wrong))


if __name__ == "__main__":
    main()
