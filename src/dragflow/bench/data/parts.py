"""What the loaders share: files that must be there, pictures and masks of one size, strict JSON, point pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter

from dragflow.bench.data.points import RegionRule, infer
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files import schema
from dragflow.files.masks import load_mask
from dragflow.files.pictures import SourceImage, load_image
from dragflow.files.texts import read_text
from dragflow.pixels import masks
from dragflow.pixels.masks import format_point

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A sample before it is read."""

    id: str
    category: str
    folder: Path


Loader = Callable[[Place, RegionRule], Sample]
"""Reads one sample; raises a UserError that names the broken file."""


@dataclass(frozen=True)
class Kind:
    """A format of samples."""

    name: str
    files: str
    """The files it is recognised by, in words."""
    matches: Callable[[frozenset[str]], bool]
    """Whether a folder with these files is a sample of this kind, even if a broken one."""
    load: Loader


Alternating = Annotated[list[Point], Field(min_length=2)]
"""Handle, target, handle, target."""


class PointsFile(schema.Strict):
    """points.json of Drag100 and VFD."""

    points: Alternating


def require(folder: Path, *names: str) -> None:
    """Refuse a sample folder in which a file is missing.

    Raises:
        UserError: naming the file.
    """
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}: a sample of this format has {', '.join(names)}")


def read_json(path: Path, kind: type[T]) -> T:
    """A JSON file, parsed by its strict schema.

    Raises:
        UserError: unreadable, not JSON, or not of this schema.
    """
    return schema.parse(TypeAdapter(kind), schema.load_json(read_text(path, "data"), str(path)), str(path))


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """The mask in a file, (H, W), for a picture of `size` (h, w).

    Raises:
        UserError: unreadable, of another size, or empty.
    """
    return checked_mask(load_mask(path), size, str(path))


def checked_mask(mask: Mask, size: tuple[int, int], name: str) -> Mask:
    """The mask, if it has the size (h, w) of its picture and is not empty.

    Raises:
        UserError: another size, or empty.
    """
    check_shape(mask.shape, size, name)
    if not mask.any():
        raise UserError(f"{name} is empty: at least one pixel must be set")
    return mask


def read_truth(path: Path, size: tuple[int, int]) -> Pixels:
    """The true picture (H, W, 3) after the drag.

    Raises:
        UserError: unreadable, or of another size (h, w).
    """
    pixels = load_image(path).pixels
    check_shape(pixels.shape[:2], size, str(path))
    return pixels


def check_shape(shape: tuple[int, ...], size: tuple[int, int], name: str) -> None:
    """Refuse a shape that is not the size (h, w) of the picture."""
    if shape != size:
        given = " x ".join(str(side) for side in shape[::-1])
        raise UserError(f"{name} is {given}, the picture {size[1]} x {size[0]} (upright): they must have the same size")


def alternating(
    points: Sequence[Point], size: tuple[int, int], name: str
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Handle and target points of a list in which they alternate.

    Raises:
        UserError: an odd number, or a point outside of the picture.
    """
    if len(points) % 2:
        raise UserError(f"{name} holds {len(points)} points: handles and targets alternate, so the number must be even")
    check_inside(points, size, name)
    return tuple(points[::2]), tuple(points[1::2])


def check_inside(points: Sequence[Point], size: tuple[int, int], name: str) -> None:
    """Refuse points outside of the picture (h, w)."""
    for i, point in enumerate(points):
        if not masks.inside(point, size):
            raise UserError(f"{name}.{i}: {format_point(point)} is outside of the picture ({size[1]} x {size[0]})")


def point_sample(
    place: Place,
    rule: RegionRule,
    image: SourceImage,
    pairs: tuple[tuple[Point, ...], tuple[Point, ...]],
    mask: Mask,
    prompt: str = "",
    truth: Pixels | None = None,
) -> Sample:
    """A sample that gives points only, and a mask of where the picture may change.

    Raises:
        UserError: no pair moves.
    """
    begins, targets = pairs
    editable, note = partial(mask)
    try:
        inferred = infer(begins, targets, image.pixels, editable, rule)
    except UserError as error:
        raise UserError(f"{place.folder}: {error}") from error
    return Sample(
        id=place.id,
        category=place.category,
        image=image,
        instruction=instruction(inferred.operations, prompt, editable),
        begin_points=begins,
        target_points=targets,
        truth=truth,
        inferred="; ".join((inferred.text, *note)),
    )


def partial(mask: Mask) -> tuple[Mask | None, tuple[str, ...]]:
    """The editable mask; or None and a note if it covers the whole picture, because then the area is derived."""
    return (None, ("the mask covers everything, the area is derived",)) if mask.all() else (mask, ())


def instruction(operations: tuple[Operation, ...], prompt: str, editable: Mask | None) -> Instruction:
    """A request in which the targets are editable too.

    Published masks are drawn by hand and often do not reach the target points.
    """
    area = None if editable is None else MaskArray(editable)
    return Instruction(operations, prompt, editable=area, editable_mode="extend")
