"""Mask files: pictures read as regions, once and before anything else uses them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from dragflow.core.arrays import Mask
from dragflow.core.errors import UserError
from dragflow.core.task import Box, Instruction, MaskArray, MaskFile, MaskImage, Operation, Polygon, Region
from dragflow.files.pictures import open_checked, upright
from dragflow.pixels import masks, reading
from dragflow.pixels.reading import Painting


def freeze(instruction: Instruction) -> Instruction:
    """The same instruction with a copy of every painted mask's pixels: nothing that happens later changes it.

    Raises:
        UserError: a mask that cannot be read, or whose region is in doubt.
    """

    def own(region: Region, name: str, *, area: str = "") -> Region:
        return region if isinstance(region, Polygon | Box) else frozen(region, name, area=area)

    def owned(op: Operation, name: str) -> Operation:
        behind = op.behind if op.front is None else own(op.front, f"what {name} is behind")
        return replace(op, region=own(op.region, name), behind=behind)

    return replace(
        instruction,
        operations=tuple(owned(op, f"operation {i}") for i, op in enumerate(instruction.operations)),
        editable=None if instruction.editable is None else own(instruction.editable, "editable area", area="area"),
        protect=None if instruction.protect is None else own(instruction.protect, "protected area", area="protect"),
    )


def frozen(region: MaskFile | MaskImage | MaskArray, role: str = "", *, area: str = "") -> MaskArray:
    """A painted region that depends on no file and on no buffer of the caller.

    Args:
        region: what is painted, and what was said about it.
        role: what errors begin with, as in "operation 0".
        area: how errors call an editable or a protected area, which may cover most of the picture or all of it; a
            region may not.

    Raises:
        UserError: a mask that cannot be read, or whose region is in doubt.
    """
    own = str(region.path) if isinstance(region, MaskFile) else region.name if isinstance(region, MaskArray) else ""
    name = own or ("picture" if isinstance(region, MaskImage) else "array")
    try:
        mask = _read(region, name)
        if not area and region.invert is None and region.label is None:
            reading.check_cover(mask, name)
    except UserError as error:
        text = str(error).replace("`mask.", f"`{area}.") if area else str(error)
        raise UserError(f"{role}: {text}" if role else text) from error
    return MaskArray(mask, own, invert=False)


def _read(region: MaskFile | MaskImage | MaskArray, name: str) -> Mask:
    if isinstance(region, MaskArray):
        return reading.read_array(region, name)
    painting = _opened(region.path) if isinstance(region, MaskFile) else as_painting(region.image, name)
    mask = reading.read(painting, name, region.invert, region.label)
    return mask if region.at is None else masks.component_at(mask, region.at, name)


def load_mask(path: Path) -> Mask:
    """The region of a mask file that is known to be white where it is meant, however much it covers.

    Raises:
        UserError: not a readable picture, or one whose region is in doubt.
    """
    return reading.read(_opened(path), str(path))


def mask_png(mask: Mask) -> bytes:
    """A mask (H, W) as a black and white PNG."""
    buffer = io.BytesIO()
    masks.as_image(mask).save(buffer, "PNG")
    return buffer.getvalue()


def _opened(path: Path) -> Painting:
    return as_painting(open_checked(path, deep=True), str(path))


def as_painting(image: Image.Image, name: str) -> Painting:
    """What is painted in a picture, turned as its EXIF orientation says.

    Raises:
        UserError: a colour mode that has no brightness.
    """
    image = upright(image, name)
    if image.mode == "P":
        indices = np.asarray(image)
        colours = _colours(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        flat = np.unique(colours.values.reshape(indices.size, -1), axis=0)
        if len(flat) < len(np.unique(indices)):  # its palette says nothing
            return Painting(indices, colours.alpha)
        return replace(colours, indices=indices)
    if image.mode in ("1", "L", "RGB") and image.has_transparency_data:
        image = image.convert("RGBA")
    if image.mode in ("PA", "La", "RGBa", "HSV", "YCbCr", "CMYK", "RGBX"):
        image = image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(image.mode, "RGB"))
    if image.mode in ("1", "L", "LA", "RGB", "RGBA") or image.mode.startswith(("I", "F")):
        return _colours(image)
    raise UserError(f"mask {name} has colour mode {image.mode}: convert it to RGB or greyscale")


def _colours(image: Image.Image) -> Painting:
    array = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        return Painting(array[..., 0] if image.mode == "LA" else array[..., :3], array[..., -1])
    return Painting(array)
