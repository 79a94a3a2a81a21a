"""What flows between the nodes: regions, and instructions that are completed for each picture of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from dragflow import Affine, Instruction, Operation, Remove, Rotate, Scale, Translate
    from dragflow.core.task import Region as TaskRegion

    from .tensors import Mask

    Motion = Translate | Rotate | Scale | Affine | Remove

REGION, INSTRUCTION, MODEL, RESULT = "DRAGFLOW_REGION", "DRAGFLOW_INSTRUCTION", "DRAGFLOW_MODEL", "DRAGFLOW_RESULT"
"""Types of sockets."""
Point = tuple[float, float]
Size = tuple[int, int]
"""(h, w)."""
_EMPTY = (
    "the mask is empty: nothing is masked. Load Image gives an empty mask for a picture without transparency: paint "
    "in the MaskEditor, or connect another mask"
)
_FULL = "everything is masked, and `invert` is yes: that leaves no region; set it to no, or connect another mask"


@dataclass(frozen=True)
class Place:
    """One picture of a batch."""

    index: int
    count: int
    size: Size


class Region(Protocol):
    """A region of every picture of a batch."""

    def at(self, place: Place) -> tuple[TaskRegion, Point]:
        """The region of one picture, and its middle.

        Raises:
            UserError: there is none for this picture.
        """
        ...


@dataclass(frozen=True, eq=False)
class MaskRegion:
    """A region by masks: one for all pictures, or one for each."""

    masks: tuple[Mask, ...]
    invert: bool | None = None
    """None: one that looks inverted is refused."""

    def at(self, place: Place) -> tuple[TaskRegion, Point]:
        """See `Region`."""
        import numpy as np

        from dragflow import MaskArray, UserError
        from dragflow.pixels.reading import covers_most

        if len(self.masks) not in (1, place.count):
            raise UserError(
                f"there are {len(self.masks)} masks for {place.count} pictures: choose one by `index`, or give one for "
                "each picture"
            )
        mask = self.masks[0 if len(self.masks) == 1 else place.index]
        region = ~mask if self.invert else mask
        if not region.any():
            raise UserError(_FULL if self.invert else _EMPTY)
        if mask.shape != place.size:
            (h, w), (own_h, own_w) = place.size, mask.shape
            raise UserError(f"the mask is {own_w} x {own_h}, the picture {w} x {h}: scale one of them to the other")
        if self.invert is None and (cover := covers_most(mask)):
            raise UserError(
                f"the mask {cover}: is it inverted? Set `invert` to yes to take what is not masked, as for a cut-out, "
                "or to no if it is meant as it is"
            )
        ys, xs = np.nonzero(region)
        return MaskArray(region, invert=False), (float(xs.mean()), float(ys.mean()))


@dataclass(frozen=True)
class BoxRegion:
    """The same box in every picture."""

    x: int
    y: int
    width: int
    height: int

    def at(self, place: Place) -> tuple[TaskRegion, Point]:
        """See `Region`."""
        from dragflow import Box

        right, bottom = self.x + self.width - 1, self.y + self.height - 1
        return Box(self.x, self.y, right, bottom), ((self.x + right) / 2, (self.y + bottom) / 2)


Step = Callable[[Place], "tuple[Operation, ...]"]
"""Gives the operations of one picture."""


@dataclass(frozen=True)
class RegionStep:
    """A region and its motion, which may depend on where the region's middle is."""

    region: Region
    motion: Callable[[Point], Motion]
    cut: Any
    behind: Region | bool | None

    def __call__(self, place: Place) -> tuple[Operation, ...]:
        """See `Step`."""
        from dragflow import Operation

        region, middle = self.region.at(place)
        behind = self.behind if self.behind is None or isinstance(self.behind, bool) else self.behind.at(place)[0]
        return (Operation(region, self.motion(middle), handle=middle, cut=self.cut, behind=behind),)


@dataclass(frozen=True)
class SwapStep:
    """Two regions that change places, middle to middle."""

    first: Region
    second: Region
    cut: Any
    behind: Region | bool | None

    def __call__(self, place: Place) -> tuple[Operation, ...]:
        """See `Step`."""
        from dragflow import Translate

        def going_to(other: Region) -> Callable[[Point], Motion]:
            return lambda _: Translate(other.at(place)[1], "relocation")

        one = RegionStep(self.first, going_to(self.second), self.cut, self.behind)
        other = RegionStep(self.second, going_to(self.first), self.cut, self.behind)
        return (*one(place), *other(place))


@dataclass(frozen=True)
class Plan:
    """An instruction for every picture of a batch."""

    steps: tuple[Step, ...] = ()
    prompt: str = ""
    edit_prompt: str = ""
    editable: Region | None = None
    editable_mode: Literal["replace", "extend", "subtract"] = "replace"
    protect: Region | None = None

    @staticmethod
    def of(instruction: Instruction) -> Plan:
        """A plan of an instruction that is complete."""
        area, protect = instruction.editable, instruction.protect
        return Plan(
            (lambda place: instruction.operations,),
            instruction.prompt,
            instruction.edit_prompt,
            None if area is None else Whole(area),
            instruction.editable_mode,
            None if protect is None else Whole(protect),
        )

    def then(self, step: Step) -> Plan:
        """The same with one more step; all of them happen together."""
        return replace(self, steps=(*self.steps, step))

    def beside(self, other: Plan) -> Plan:
        """Both at once; words and area are those of the other where this one has none."""
        return replace(
            other if self.editable is None else self,
            steps=(*self.steps, *other.steps),
            prompt=self.prompt or other.prompt,
            edit_prompt=self.edit_prompt or other.edit_prompt,
            protect=other.protect if self.protect is None else self.protect,
        )

    def instruction(self, place: Place) -> Instruction:
        """The instruction for one picture.

        Raises:
            UserError: a region that does not fit the picture.
        """
        from dragflow import Instruction

        return Instruction(
            [operation for step in self.steps for operation in step(place)],
            self.prompt,
            self.edit_prompt,
            None if self.editable is None else self.editable.at(place)[0],
            self.editable_mode,
            None if self.protect is None else self.protect.at(place)[0],
        )


@dataclass(frozen=True)
class Whole:
    """A region of the library, the same for every picture."""

    region: TaskRegion

    def at(self, place: Place) -> tuple[TaskRegion, Point]:
        """See `Region`; its middle is not asked for."""
        return self.region, (0.0, 0.0)


def places(pictures: list[Any]) -> list[tuple[Any, Place]]:
    """Every picture of a batch, and which one it is."""
    count = len(pictures)
    return [(each, Place(index, count, (each.shape[0], each.shape[1]))) for index, each in enumerate(pictures)]
