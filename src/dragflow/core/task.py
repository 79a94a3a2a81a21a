"""The request: regions of a picture and the motions a person gave them (paper Sec. 3.2, App. C)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from annotated_types import Len

from dragflow.core.arrays import Mask, Pixels, Point, own
from dragflow.core.checked import Checked, check
from dragflow.core.errors import UserError, not_a
from dragflow.core.fields import Coordinate, Prompt
from dragflow.core.motion import Matrix, Motion, Remove, motion_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


MOST_OPERATIONS, MOST_POINTS = 100, 10_000
"""Of one instruction, and of one polygon; what has more was made by a program that means something else."""


@dataclass(frozen=True)
class MaskFile(Checked):
    """A region painted in a picture file: in one colour on black or on transparency (docs/files.md, "Masks")."""

    path: Path
    at: Point | None = None
    """Take only the connected part at this point."""
    invert: bool | None = None
    """Whether the region is what is not painted; None asks where it looks so."""
    label: int | str | None = None
    """The one value, palette index or colour (as "#ff0000") that is the region, in a picture of several."""
    type: Literal["mask"] = field(default="mask", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Take any path."""
        if isinstance(cast("object", self.path), str):
            _set(self, path=Path(self.path))
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class MaskImage:
    """A region painted in a picture in memory; read as that of a `MaskFile` is, and with the same choices."""

    image: Image
    at: Point | None = None
    invert: bool | None = None
    label: int | str | None = None

    def __post_init__(self) -> None:
        """Check the types, and keep no buffer of the caller.

        Raises:
            UserError: not a PIL picture, or not a point.
        """
        if not hasattr(self.image, "getbands"):
            raise not_a("a region", self.image, "the path of a mask, an array, a PIL picture, a Polygon or a Box")
        _check_reading(self, at=(Point | None, self.at))
        _set(self, image=self.image.copy())


@dataclass(frozen=True, eq=False)
class MaskArray:
    """A region painted in an array, (h, w) or (h, w, 3 or 4); read as that of a `MaskFile` is."""

    array: NDArray[Any]
    name: str = ""
    """Its origin, for errors."""
    invert: bool | None = None
    label: int | str | None = None

    def __post_init__(self) -> None:
        """Check the types, and keep no buffer of the caller.

        Raises:
            UserError: not an array of numbers or of truth values.
        """
        if getattr(getattr(self.array, "dtype", None), "kind", "O") not in "biuf":
            raise not_a("a region", self.array, "a numpy array (h, w) of numbers, or of True and False")
        _check_reading(self, name=(str, self.name))
        own(self)


@dataclass(frozen=True)
class Polygon(Checked):
    """A region inside a closed outline of at least three points: the pixels whose centre is inside or on it."""

    points: Annotated[tuple[Point, ...], Len(3, MOST_POINTS)]
    type: Literal["polygon"] = field(default="polygon", kw_only=True, repr=False)


@dataclass(frozen=True)
class Box(Checked):
    """A region of the pixels with left <= x <= right and top <= y <= bottom."""

    left: Coordinate
    top: Coordinate
    right: Coordinate
    bottom: Coordinate
    type: Literal["box"] = field(default="box", kw_only=True, repr=False)


PromptForm = Literal["captions", "instructions"]
"""What a model is told: `captions` say what the edited picture shows, `instructions` say in English what is to be done,
as edit models are told where they look at a picture."""
Cut = Literal["hard", "soft", "snap"]
"""How a region that leaves its place is cut out. `hard`: as painted. `soft`: with the rim's shares and colours
estimated. `snap`: soft, after moving the rim to the object's edge wherever that is near."""

AreaMode = Literal["replace", "extend", "subtract"]
"""What an editable area that is given does to the derived one: it replaces it, is added to it, or taken from it."""

Region = MaskFile | MaskImage | MaskArray | Polygon | Box
if TYPE_CHECKING:
    RegionLike = Region | str | os.PathLike[str] | NDArray[Any] | Image
    """A region, or what is taken for one: the path of a mask, an array, a PIL picture."""


@dataclass(frozen=True, init=False)
class Operation:
    """One region and its motion."""

    region: Region
    motion: Motion
    handle: Point | None = None
    """The point that `to` is meant for; the centroid of the region when None."""
    cut: Cut | None = None
    """`snap` when None. A region that was snapped is settled as the region that it became, cut softly."""
    behind: Region | bool | None = None
    """What stays in front of the region where it goes. True: what is found there, which is settled as a region; False:
    nothing; None: what the picture shows to be in front of it already, else nothing."""

    def __init__(
        self,
        region: RegionLike,
        motion: Motion,
        handle: Point | None = None,
        cut: Cut | None = None,
        behind: RegionLike | bool | None = None,
    ) -> None:
        """Take a region, or the path of a mask, an array or a PIL picture as one; `behind` likewise."""
        if not isinstance(cast("object", motion), Motion):
            raise not_a("a motion", motion, "a Translate, Rotate, Scale, Affine or Remove")
        handle = check(Point | None, handle, "Operation.handle")
        cut = check(Cut | None, cut, "Operation.cut")
        if behind is not None and not isinstance(behind, bool):
            behind = as_region(behind)
        _set(self, region=as_region(region), motion=motion, handle=handle, cut=cut, behind=behind)

    @property
    def front(self) -> Region | None:
        """The region that is said to stay in front of it; None if none is."""
        return None if isinstance(self.behind, bool) else self.behind


@dataclass(frozen=True, init=False)
class Instruction:
    """Everything a person asks of one picture; the operations happen together."""

    operations: tuple[Operation, ...]
    prompt: str = ""
    """What the source picture shows (the background prompt)."""
    edit_prompt: str = ""
    """What the edit does; the target prompt is `prompt` and this, joined by a space (App. D.3)."""
    editable: Region | None = None
    """Where the picture may change; derived from the operations when None (App. D.2)."""
    editable_mode: AreaMode = "replace"
    protect: Region | None = None
    """What never changes, whatever the area is."""

    def __init__(
        self,
        operations: Operation | Iterable[Operation],
        prompt: str = "",
        edit_prompt: str = "",
        editable: RegionLike | None = None,
        editable_mode: AreaMode = "replace",
        protect: RegionLike | None = None,
    ) -> None:
        """Take one operation or several; `editable` and `protect` as the region of an operation."""
        _set(
            self,
            operations=_as_operations(operations),
            prompt=check(Prompt, prompt, "Instruction.prompt"),
            edit_prompt=check(Prompt, edit_prompt, "Instruction.edit_prompt"),
            editable=None if editable is None else as_region(editable),
            editable_mode=check(AreaMode, editable_mode, "Instruction.editable_mode"),
            protect=None if protect is None else as_region(protect),
        )

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region, the editable and the protected area too."""
        fronts = (op.front for op in self.operations)
        more = (region for region in (*fronts, self.editable, self.protect) if region is not None)
        return (*(op.region for op in self.operations), *more)

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture."""
        return " ".join(part for part in (self.prompt, self.edit_prompt) if part)

    @property
    def as_painted(self) -> Instruction:
        """The same with every region cut out as it was painted, and in front of all where nothing else is said."""
        operations = (replace(op, cut="hard", behind=op.behind or False) for op in self.operations)
        return replace(self, operations=tuple(operations))


def as_instruction(asked: Instruction | Operation | Iterable[Operation]) -> Instruction:
    """An instruction, given itself or by one or several operations.

    Raises:
        UserError: anything else.
    """
    if isinstance(asked, Instruction):
        return asked
    return Instruction(asked)


def _as_operations(given: Operation | Iterable[Operation]) -> tuple[Operation, ...]:
    if isinstance(given, Operation):
        return (given,)
    if isinstance(given, str | Mapping):
        raise not_a("an instruction", cast("object", given), "an Instruction, or operations")
    try:
        operations = tuple(given)
    except TypeError as error:  # an array without a side
        raise not_a("an instruction", given, "an Instruction, or operations") from error
    for operation in operations:
        if not isinstance(cast("object", operation), Operation):
            raise not_a("an operation", operation, "an Operation")
    if len(operations) > MOST_OPERATIONS:
        raise UserError(f"{len(operations)} operations are given: an instruction has at most {MOST_OPERATIONS}")
    return operations


def as_region(region: RegionLike) -> Region:
    """A region, given itself, by the path of a mask, or as an array or a PIL picture.

    Raises:
        UserError: anything else.
    """
    if isinstance(region, MaskFile | MaskImage | MaskArray | Polygon | Box):
        return region
    if isinstance(region, str | os.PathLike):
        return MaskFile(Path(region))
    return MaskArray(region) if hasattr(region, "dtype") else MaskImage(region)  # pyright: ignore[reportArgumentType]


def _check_reading(mask: MaskImage | MaskArray, **more: tuple[Any, object]) -> None:
    """Check what is said about a mask in memory; pydantic knows no type for the mask itself."""
    kinds = {"invert": (bool | None, mask.invert), "label": (int | str | None, mask.label), **more}
    _set(mask, **{name: check(kind, value, f"{type(mask).__name__}.{name}") for name, (kind, value) in kinds.items()})


def _set(frozen: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


@dataclass(frozen=True, eq=False)
class ResolvedOperation:
    """An operation whose region is rasterised and whose handle is known."""

    mask: Mask
    """(H, W), source pixels of the region."""
    motion: Motion
    """With its label settled."""
    handle: Point
    joint: Mask | None = None
    """(H, W): where a deformation is joined to what it belongs to, the rest of its rim being free; None: all around."""
    cut: Cut = "hard"
    """With nothing left to snap."""
    front: Mask | None = None
    """(H, W): what stays in front of the region where it goes; None: nothing."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    def matrix(self, progress: float = 1.0) -> Matrix:
        """The map of the motion at a progress in [0, 1], in source pixels."""
        return motion_matrix(self.motion, self.handle, progress)

    @property
    def is_deformation(self) -> bool:
        """Whether the region is a part, so that what it belongs to stretches along."""
        return self.motion.label == "deformation"

    @property
    def is_cut(self) -> bool:
        """Whether the region is cut out of the picture: all of its rim, or of a part's what is not joined."""
        return not self.is_deformation or self.joint is not None

    @property
    def stays(self) -> bool:
        """Whether the region is copied, and changes nothing where it is."""
        return self.motion.label == "copy"

    @property
    def leaves(self) -> bool:
        """Whether the region is cut out and leaves a hole."""
        return self.is_cut and not self.stays

    @property
    def lands(self) -> bool:
        """Whether the region is seen in the picture afterwards, where its motion takes it."""
        return not isinstance(self.motion, Remove)


@dataclass(frozen=True, eq=False)
class DragTask:
    """A picture and a checked instruction on it: all that the method needs to know about the request."""

    image: Pixels
    """(H, W, 3), upright RGB."""
    operations: tuple[ResolvedOperation, ...]
    area: Mask
    """(H, W), the editable area B."""
    instruction: Instruction
    """The instruction, with what was guessed: labels, and the regions that were snapped."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def prompt(self) -> str:
        """What the source picture shows."""
        return self.instruction.prompt

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture."""
        return self.instruction.target_prompt
