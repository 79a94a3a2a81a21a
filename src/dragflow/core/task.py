"""The request: regions of a picture and the motions a person gave them (paper Sec. 3.2, App. C)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MinLen

from dragflow.core.arrays import Mask, Pixels, Point, own
from dragflow.core.errors import UserError
from dragflow.core.motion import Matrix, Motion, motion_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True)
class MaskFile:
    """A region painted in a picture file: in one colour on black or on transparency (docs/files.md, "Masks")."""

    path: Path
    at: Point | None = None
    """Take only the connected part at this point."""
    invert: bool | None = None
    """Whether the region is what is not painted; None asks where it looks so."""
    label: int | str | None = None
    """The one value, palette index or colour (as "#ff0000") that is the region, in a picture of several."""
    type: Literal["mask"] = field(default="mask", kw_only=True, repr=False)


@dataclass(frozen=True, eq=False)
class MaskImage:
    """A region painted in a picture in memory; read as that of a `MaskFile` is, and with the same choices."""

    image: Image
    at: Point | None = None
    invert: bool | None = None
    label: int | str | None = None

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        if hasattr(self.image, "copy"):
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
        """Keep no buffer of the caller."""
        own(self)


@dataclass(frozen=True)
class Polygon:
    """A region inside a closed outline of at least three points: the pixels whose centre is inside or on it."""

    points: Annotated[tuple[Point, ...], MinLen(3)]
    type: Literal["polygon"] = field(default="polygon", kw_only=True, repr=False)


@dataclass(frozen=True)
class Box:
    """A region of the pixels with left <= x <= right and top <= y <= bottom."""

    left: float
    top: float
    right: float
    bottom: float
    type: Literal["box"] = field(default="box", kw_only=True, repr=False)


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

    def __init__(self, region: RegionLike, motion: Motion, handle: Point | None = None) -> None:
        """Take a region, or the path of a mask, an array or a PIL picture as one."""
        _set(self, region=as_region(region), motion=motion, handle=handle)


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
    editable_mode: Literal["replace", "extend"] = "replace"
    """Whether `editable` replaces the derived area or is added to it."""

    def __init__(
        self,
        operations: Operation | Iterable[Operation],
        prompt: str = "",
        edit_prompt: str = "",
        editable: RegionLike | None = None,
        editable_mode: Literal["replace", "extend"] = "replace",
    ) -> None:
        """Take one operation or several; `editable` as the region of an operation."""
        _set(
            self,
            operations=(operations,) if isinstance(operations, Operation) else tuple(operations),
            prompt=prompt,
            edit_prompt=edit_prompt,
            editable=None if editable is None else as_region(editable),
            editable_mode=editable_mode,
        )

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture."""
        return " ".join(part for part in (self.prompt, self.edit_prompt) if part)


def as_instruction(asked: Instruction | Operation | Iterable[Operation]) -> Instruction:
    """An instruction, given itself or by one or several operations.

    Raises:
        UserError: anything else.
    """
    if isinstance(asked, Instruction):
        return asked
    if not isinstance(asked, Operation | list | tuple):
        raise UserError(f"a {type(asked).__name__} is not an instruction: give an Instruction, or operations")
    return Instruction(asked)


def as_region(region: RegionLike) -> Region:
    """A region, given itself, by the path of a mask, or as an array or a PIL picture."""
    if isinstance(region, MaskFile | MaskImage | MaskArray | Polygon | Box):
        return region
    if isinstance(region, str | os.PathLike):
        return MaskFile(Path(region))
    return MaskArray(region) if hasattr(region, "dtype") else MaskImage(region)  # pyright: ignore[reportArgumentType]


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
        """Whether the region leaves its place, or with a part that is not joined all around, some of it."""
        return not self.is_deformation or self.joint is not None


@dataclass(frozen=True, eq=False)
class DragTask:
    """A picture and a checked instruction on it: all that the method needs to know about the request."""

    image: Pixels
    """(H, W, 3), upright RGB."""
    operations: tuple[ResolvedOperation, ...]
    area: Mask
    """(H, W), the editable area B."""
    instruction: Instruction
    """The instruction, with the labels that were guessed."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region of the instruction, the editable area too."""
        editable = self.instruction.editable
        return (*(op.region for op in self.instruction.operations), *(() if editable is None else (editable,)))

    @property
    def prompt(self) -> str:
        """What the source picture shows."""
        return self.instruction.prompt

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture."""
        return self.instruction.target_prompt
