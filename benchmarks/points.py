"""How like the dragged thing a region inferred from points is: intersection over union with the world's own mask.

python benchmarks/points.py --scenes 100 --first 0
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter

import numpy as np

from dragflow.bench.data.points import RegionRule, infer
from dragflow.bench.data.world import World
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask
from dragflow.core.task import MaskArray
from dragflow.select import select_at

RULES: tuple[RegionRule, ...] = ("disc", "thing")


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    world = World(asked.first, asked.scenes)
    samples = [world.load(scene) for scene in world.ids]
    for count in (1, 3):
        for rule in RULES:
            show(f"{count} pairs, {rule}", [likeness(inferred(sample, rule, count), sample) for sample in samples])
        found = [select_at(sample.task.image, sample.begin_points[:count], sample.task.area) for sample in samples]
        show(f"{count} points, select_at", [likeness(*pair) for pair in zip(found, samples, strict=True)])


def inferred(sample: Sample, rule: RegionRule, count: int) -> Mask:
    """The regions that a rule makes of the first pairs, together."""
    pairs = sample.begin_points[:count], sample.target_points[:count]
    found = infer(*pairs, sample.task.image, sample.task.area, rule).operations
    regions = [op.region.array for op in found if isinstance(op.region, MaskArray)]
    return np.asarray(np.logical_or.reduce(regions), np.bool_)


def likeness(found: Mask, sample: Sample) -> float:
    """Intersection over union with what is dragged."""
    true = sample.task.operations[0].mask
    return float((found & true).sum() / (found | true).sum())


def show(name: str, values: list[float]) -> None:
    """A line of the table."""
    print(f"{name:22} mean {np.mean(values):.3f}, median {np.median(values):.3f}")


if __name__ == "__main__":
    main()
