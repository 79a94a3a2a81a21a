"""Mask files: pictures read as regions, once and before anything else uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dragflow.core.arrays import Mask
from dragflow.core.task import Box, Instruction, MaskArray, MaskFile, MaskImage, Polygon, Region
from dragflow.files.pictures import open_checked
from dragflow.pixels import masks


def freeze(instruction: Instruction) -> Instruction:
    """The same instruction with a copy of every painted mask's pixels: nothing that happens later changes it.

    Raises:
        UserError: a mask that cannot be read.
    """

    def own(region: Region) -> Region:
        return region if isinstance(region, Polygon | Box) else frozen(region)

    return replace(
        instruction,
        operations=tuple(replace(op, region=own(op.region)) for op in instruction.operations),
        editable=None if instruction.editable is None else own(instruction.editable),
    )


def frozen(region: MaskFile | MaskImage | MaskArray) -> MaskArray:
    """A painted region that depends on no file and on no buffer of the caller.

    Raises:
        UserError: a mask that cannot be read.
    """
    if isinstance(region, MaskArray):
        return MaskArray(np.asarray(region.array) > 0, region.name)
    if isinstance(region, MaskFile):
        mask, name = load_mask(region.path), str(region.path)
    else:
        mask, name = read_mask(region.image), "picture"
    return MaskArray(mask if region.at is None else masks.component_at(mask, region.at, name), name)


def load_mask(path: Path) -> Mask:
    """A mask file: pixels brighter than half (and at least half opaque) are in.

    Raises:
        UserError: not a readable picture.
    """
    return read_mask(open_checked(path))


def read_mask(image: Image.Image) -> Mask:
    """A mask picture: pixels brighter than half (and at least half opaque) are in."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        low, high = image.getextrema()  # a 16-bit or float mask: bright is relative to its own range
        return np.asarray(image, dtype=np.float64) > (float(low) + float(high)) / 2  # pyright: ignore[reportArgumentType]
    la = np.asarray(image.convert("RGBA").convert("LA") if image.has_transparency_data else image.convert("L"))
    if la.ndim == 3:
        return (la[..., 0] > 127) & (la[..., 1] > 127)
    # Masks with values 0 and 1 are common in data sets: an 8-bit picture that dark holds classes, not brightness.
    return la > (127 if la.max(initial=0) > 1 else 0)
