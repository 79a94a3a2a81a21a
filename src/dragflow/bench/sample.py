"""One typed sample: what every data set provides, and every method, metric and report takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from dragflow.core.arrays import Mask, Pixels, Point, own
from dragflow.core.task import DragTask, Instruction, MaskArray
from dragflow.files.digests import digest
from dragflow.files.masks import freeze
from dragflow.files.pictures import SourceImage
from dragflow.pixels.resolve import resolve


@dataclass(frozen=True)
class Problem:
    """Something wrong with one sample, in a sentence that names the file."""

    sample: str
    text: str


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture, what is asked of it, and the truth where it is known."""

    id: str
    """Unique in its data set; parts of a path are separated by "/"."""
    category: str
    """Group in per-category tables; "" if the data set has none."""
    image: SourceImage
    instruction: Instruction
    """As regions: painted ones, or regions inferred from point pairs."""
    begin_points: tuple[Point, ...]
    """Annotated handle points in pixels of the upright picture; for region data the centroids."""
    target_points: tuple[Point, ...]
    """Where each of them should go."""
    truth: Pixels | None = None
    """The true picture (H, W, 3) after the drag."""
    target_mask: Mask | None = None
    """(H, W), where the dragged object is visible in the true picture."""
    tags: tuple[str, ...] = ()
    """Further groups that the sample belongs to."""
    inferred: str = ""
    """How the regions were inferred from points; "" when they were painted."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @cached_property
    def task(self) -> DragTask:
        """The checked request: regions as they were painted, which is what scores are about, handles, editable area.

        Raises:
            UserError: the instruction does not fit its picture.
        """
        return resolve(self.image.pixels, self.instruction.as_painted)

    @cached_property
    def asked(self) -> Instruction:
        """The instruction, confined to the editable area that follows from the regions as they were painted.

        Every method may change the same pixels then, and those that scores take for outside stay.

        Raises:
            UserError: as `task`.
        """
        return replace(self.instruction, editable=MaskArray(self.task.area, invert=False), editable_mode="replace")

    @cached_property
    def request_sha256(self) -> str:
        """Digest of what is asked: prompts, regions, motions, editable area and annotated points.

        Raises:
            UserError: a mask cannot be read.
        """
        return digest(freeze(self.instruction), self.begin_points, self.target_points)

    @cached_property
    def sha256(self) -> str:
        """Digest of all that a score depends on: the picture, what is asked of it, and the truth."""
        return digest(self.image.sha256, self.request_sha256, self.truth, self.target_mask)


class DataSet(Protocol):
    """Samples by id, loaded one at a time: a broken one does not stop the others."""

    @property
    def name(self) -> str:
        """The name that people use, as in "ReD Bench"."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """Every sample, in a fixed order."""
        ...

    def load(self, sample: str) -> Sample:
        """Read and check one sample.

        Raises:
            UserError: what is wrong with it.
        """
        ...
