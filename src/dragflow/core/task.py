"""The request: regions of a picture and the motions a person gave them (paper Sec. 3.2, App. C).

Points are (x, y) in pixels of the upright source image, the centre of the top left pixel is (0, 0); sizes are (h, w).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point = tuple[float, float]
Label = Literal["relocation", "deformation"]


@dataclass(frozen=True)
class Translate:
    """Carry the handle of the region to `to`; `relocation` moves an object, `deformation` stretches a part of one."""

    to: Point
    label: Label = "relocation"


@dataclass(frozen=True)
class Rotate:
    """Turn the region about an anchor, until the handle points at `to`, or by `degrees` (clockwise as seen)."""

    about: Point
    to: Point | None = None
    degrees: float | None = None


@dataclass(frozen=True)
class Scale:
    """Scale the region about an anchor, by one factor or by one for x and one for y."""

    about: Point
    factor: float | tuple[float, float]


@dataclass(frozen=True)
class Affine:
    """Move the region by an invertible map: rows (a, b, c), (d, e, f); x' = a x + b y + c, y' = d x + e y + f."""

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]


Motion = Translate | Rotate | Scale | Affine


@dataclass(frozen=True)
class MaskFile:
    """A region painted in a picture file: every pixel brighter than half, or with `at` only the part at that point."""

    path: Path
    at: Point | None = None


@dataclass(frozen=True, eq=False)
class MaskArray:
    """A region given as a boolean array (h, w) of the size of the source image."""

    array: NDArray[np.bool_]


@dataclass(frozen=True)
class Polygon:
    """A region inside a closed outline of at least three points; pixels whose centre lies inside or on it are in it."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Box:
    """A region of the pixels with left <= x <= right and top <= y <= bottom."""

    left: float
    top: float
    right: float
    bottom: float


Region = MaskFile | MaskArray | Polygon | Box


@dataclass(frozen=True)
class Operation:
    """One region and its motion."""

    region: Region
    motion: Motion
    handle: Point | None = None
    """The point that `to` is meant for; the centroid of the region when None."""


@dataclass(frozen=True)
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

    @property
    def target_prompt(self) -> str:
        """The prompt of the edited picture."""
        return " ".join(part for part in (self.prompt, self.edit_prompt) if part)


@dataclass(frozen=True, eq=False)
class ResolvedOperation:
    """An operation whose region is rasterised and whose handle is known."""

    mask: NDArray[np.bool_]
    """(H, W), source pixels of the region."""
    motion: Motion
    handle: Point


@dataclass(frozen=True, eq=False)
class DragTask:
    """A picture and a checked instruction on it: all that the method needs to know of the request."""

    image: NDArray[np.uint8]
    """(H, W, 3), upright RGB."""
    operations: tuple[ResolvedOperation, ...]
    area: NDArray[np.bool_]
    """(H, W), the editable area B."""
    prompt: str
    target_prompt: str
