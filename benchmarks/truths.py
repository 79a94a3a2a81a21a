"""What benchmarks that draw scenes share: which scenes, with which regions, and how far they are from the truth."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dragflow.bench.data.world import World
from dragflow.bench.metrics.truth import psnr
from dragflow.bench.sample import Sample
from dragflow.bench.statistics import difference
from dragflow.core.arrays import Mask, Pixels
from dragflow.core.task import Cut, DragTask, MaskArray
from dragflow.pixels.resolve import resolve

CUTS: tuple[Cut, ...] = ("hard", "soft", "snap")
PLACES = ("area", "target", "vacated")
Scores = dict[str, dict[int, float]]
"""Of each place the value of each scene."""


def parser(text: str | None, scenes: int, first: int | None = 0) -> ArgumentParser:
    """The options of a benchmark that `text` describes: how many scenes, and from which one, if that can be chosen."""
    made = ArgumentParser(description=text, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--scenes", type=int, default=scenes)
    if first is not None:
        made.add_argument("--first", type=int, default=first)
    return made


def scene(number: int) -> Sample:
    """One held-out scene."""
    return World(number, 1).load(str(number))


def with_region(sample: Sample, region: Mask, cut: Cut) -> DragTask:
    """The sample's task with another region, which moves as the exact one does."""
    (asked,), exact = sample.instruction.operations, sample.task.operations[0]
    operation = replace(asked, region=MaskArray(region), handle=exact.handle, cut=cut)
    return resolve(sample.image.pixels, replace(sample.instruction, operations=(operation,)))


@dataclass(frozen=True, eq=False)
class Truth:
    """The true picture after a drag, and where in it the thing was and is."""

    picture: Pixels
    area: Mask
    target: Mask
    """Where what moves is seen in the picture."""
    left: Mask
    """Where it was seen in the source."""

    @staticmethod
    def of(sample: Sample) -> Truth:
        """That of a scene."""
        assert sample.truth is not None
        assert sample.target_mask is not None
        return Truth(sample.truth, sample.task.area, sample.target_mask, sample.task.operations[0].mask)

    def scores(self, shown: Pixels) -> dict[str, float]:
        """PSNR in the area, the target and the vacated part, where that is finite."""
        places = (self.area, self.area & self.target, self.area & self.left & ~self.target)
        found = {name: psnr(shown, self.picture, place) for name, place in zip(PLACES, places, strict=True)}
        return {name: value for name, value in found.items() if np.isfinite(value)}


def gain(own: Mapping[int, float], base: Mapping[int, float], digits: int = 2) -> str:
    """Mean difference on the scenes that both have, with its 95 % interval."""
    found = difference(own, base)
    return f"{found.value:+.{digits}f} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"


def gain_cells(own: Scores, base: Scores) -> str:
    """Mean and median gain in each place, as cells of a Markdown table."""
    cells = ""
    for place in PLACES:
        middle = difference(own[place], base[place], "median")
        cells += f" {gain(own[place], base[place])} | {middle.value:+.2f} |"
    return cells


def gain_titles(*first: str) -> str:
    """The head of a table whose rows end with `gain_cells`."""
    titles = "".join(f" {place}, dB | median |" for place in PLACES)
    return f"| {' | '.join(first)} |{titles}\n|{'---|' * (len(first) + 2 * len(PLACES))}"
