"""What an edit is taken away as: layers and masks, an OpenRaster file, a ReD Bench sample, or all of them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Map, Pixels
from dragflow.core.errors import UserError
from dragflow.core.task import DragTask, Instruction, MaskArray, MaskFile
from dragflow.core.text import one_line
from dragflow.files import openraster
from dragflow.files.encoding import written_suffix
from dragflow.files.instructions import dump_instruction
from dragflow.files.masks import mask_png
from dragflow.files.openraster import RasterLayer
from dragflow.files.pictures import SourceImage, decode_image, read_picture
from dragflow.files.red_bench import SampleFields, sample_files
from dragflow.files.zips import zipped
from dragflow.pixels import masks
from dragflow.pixels.layers import Layers, layers_of
from dragflow.pixels.resolve import resolve
from dragflow.pixels.stack import Moved, Stack, stack_of

What = Literal["layers", "openraster", "red_bench", "all"]
"""`openraster` is one .ora file, anything else a zip."""

RESULT, INSTRUCTION, RASTER, SAMPLE = "result", "instruction.json", "layers.ora", "red_bench"
_MISSING = f"{SAMPLE}/missing.txt"
_NAMED = 60
"""Characters of a region's name in the name of a file."""


@dataclass(frozen=True, eq=False)
class Result:
    """What an edit gave."""

    data: bytes
    """Of its file, with its recipe, if it has one."""
    pixels: Pixels
    """(H, W, 3), upright."""
    suffix: str = ".png"
    """By which its format is known."""


@dataclass(frozen=True, eq=False)
class Export:
    """An edit that is taken away."""

    source: SourceImage
    instruction: Instruction
    """As it was asked for."""
    names: tuple[str, ...]
    """Of the regions, one for each operation."""
    result: Result | None
    margin: int
    """Pixels by which the derived editable area is grown."""
    layers: Callable[[DragTask], Layers]

    @cached_property
    def task(self) -> DragTask:
        """The instruction on its picture, resolved when it is first asked for: a sample needs no guesses.

        Raises:
            UserError: an instruction that breaks a rule.
        """
        return resolve(self.source.pixels, self.instruction, margin=self.margin)

    @cached_property
    def stack(self) -> tuple[RasterLayer, ...]:
        """The layers from the lowest to the highest: the picture, hidden; what is shown; the result, hidden."""
        alpha = self.source.alpha
        whole = np.full(self.source.size, 255, np.uint8) if alpha is None else alpha
        stack = stack_of(self.task, self.layers(self.task).textured)
        ground = np.where(stack.area[..., None], stack.background, self.source.pixels)
        found = [
            RasterLayer("Picture", np.dstack([self.source.pixels, whole]), visible=False),
            RasterLayer("Background", np.dstack([ground, whole])),
        ]
        shadows = [(moved, moved.light()) for moved in stack.moved]
        found += [
            _shadow(f"{self.names[moved.number]}: shadow", light, stack, whole)
            for moved, light in shadows
            if light is not None
        ]
        found += [_piece(self.names[moved.number], moved, stack, whole) for moved in stack.moved]
        if self.result is not None:
            found.append(RasterLayer("Result", np.dstack([self.result.pixels, whole]), visible=False))
        return tuple(found)

    def layer_files(self) -> dict[str, bytes]:
        """The visible layers as PNG files of the picture's size, the masks, and the instruction."""
        size, profile = self.source.size, self.source.icc_profile
        files = {INSTRUCTION: (dump_instruction(self.task.instruction) + "\n").encode()}
        for number, (name, operation) in enumerate(zip(self.names, self.task.operations, strict=True), start=1):
            files[f"masks/{number}-{_slug(name)}.png"] = mask_png(operation.mask)
        for number, layer in enumerate(layer for layer in self.stack if layer.visible):
            whole = RasterLayer(layer.name, _spread(layer, size))
            files[f"layers/{number}-{_slug(layer.name)}.png"] = whole.png(profile)
        return files

    def openraster(self) -> bytes:
        """The bytes of an OpenRaster file."""
        return openraster.openraster(self.stack, self.source.size, self.source.icc_profile)

    def sample_files(self, fields: SampleFields | None) -> dict[str, bytes]:
        """A ReD Bench sample; see `dragflow.files.red_bench`."""
        return {f"{SAMPLE}/{path}": data for path, data in sample_files(self.source, self.instruction, fields).items()}

    def encoded(self, what: What, fields: SampleFields | None = None) -> bytes:
        """The bytes of the file that holds `what`.

        Raises:
            UserError: an instruction that breaks a rule, or a sample that ReD Bench cannot express; of everything, that
                is left out unless `fields` are given; then `left_out` says why.
        """
        if what == "openraster":
            return self.openraster()
        if what == "red_bench":
            return zipped(self.sample_files(fields))
        files = {} if self.result is None else {f"{RESULT}{self.result.suffix}": self.result.data}
        files |= self.layer_files()
        return zipped(files if what == "layers" else files | {RASTER: self.openraster()} | self._sample_if_any(fields))

    def _sample_if_any(self, fields: SampleFields | None) -> dict[str, bytes]:
        try:
            return self.sample_files(fields)
        except UserError as error:
            if fields is not None:
                raise
            return {_MISSING: f"{one_line(str(error))}\n".encode()}


def export(
    source: SourceImage,
    instruction: Instruction,
    names: Sequence[str] = (),
    result: Result | None = None,
    *,
    margin: int = 0,
    layers: Callable[[DragTask], Layers] = layers_of,
) -> Export:
    """What an edit is taken away as.

    Args:
        source: the picture.
        instruction: what was asked for.
        names: of the regions; that of its mask's file, or its number, for one that has none.
        result: of this edit.
        margin: pixels by which the derived editable area is grown.
        layers: gives the layers of what a task cuts out; they are not needed for a sample.

    Raises:
        UserError: more names than regions, or a result of another size.
    """
    count = len(instruction.operations)
    if len(names) > count:
        raise UserError(f"{len(names)} `names` are given for {count} regions: give one for each")
    if result is not None and result.pixels.shape != source.pixels.shape:
        (h, w), (own_h, own_w) = result.pixels.shape[:2], source.size
        raise UserError(f"`result` is {w} x {h}, the picture {own_w} x {own_h}: it was made from another picture")
    given = [*names, *[""] * (count - len(names))]
    called = tuple(one_line(name).strip() or _default_name(instruction, i) for i, name in enumerate(given))
    return Export(source, instruction, called, result, margin, layers)


def left_out(data: bytes) -> str | None:
    """Why a zip of everything holds no ReD Bench sample; None where it holds one."""
    with ZipFile(io.BytesIO(data)) as file:
        return file.read(_MISSING).decode().strip() if _MISSING in file.namelist() else None


def media_type(what: What) -> str:
    """Of the file that holds `what`."""
    return openraster.MEDIA_TYPE if what == "openraster" else "application/zip"


def decode_result(data: bytes, name: str) -> Result:
    """A result from the bytes of its file; `name` says which picture, for errors.

    Raises:
        UserError: of a format that no result is written in, or one that cannot be read.
    """
    return Result(data, decode_image(data, name).pixels, written_suffix(data, name))


def load_result(path: Path) -> Result:
    """A result from its file.

    Raises:
        UserError: as `decode_result`, or no such file.
    """
    return decode_result(read_picture(path), str(path))


def _default_name(instruction: Instruction, number: int) -> str:
    region = instruction.operations[number].region
    file = region.path if isinstance(region, MaskFile) else region.name if isinstance(region, MaskArray) else ""
    return one_line(Path(file).stem).strip() or f"Region {number + 1}"


def _slug(name: str) -> str:
    """A name as part of the name of a file, on any system."""
    return re.sub(r"[^\w]+", "-", name).strip("-_")[:_NAMED].lower() or "region"


def _shadow(name: str, light: Map, stack: Stack, whole: Pixels) -> RasterLayer:
    """A shadow as black of so much alpha, which leaves as much light as it did."""
    alpha = (1 - np.clip(light, 0, 1)) * stack.area * (whole / 255)
    return _cropped(name, np.dstack([np.zeros((*light.shape, 3), np.float32), alpha * 255]), (0, 0))


def _piece(name: str, moved: Moved, stack: Stack, whole: Pixels) -> RasterLayer:
    colours, weight = moved.piece()
    alpha = weight[..., 0] * stack.area[stack.window] * (whole[stack.window] / 255)
    rows, columns = stack.window
    return _cropped(name, np.dstack([colours, alpha * 255]), (columns.start, rows.start))


def _cropped(name: str, rgba: Map, at: tuple[int, int]) -> RasterLayer:
    """A layer without what is transparent around it; `at` is (left, top)."""
    pixels = np.rint(np.clip(rgba, 0, 255)).astype(np.uint8)
    seen = pixels[..., 3] > 0
    if not seen.any():
        return RasterLayer(name, np.zeros((1, 1, 4), np.uint8))
    rows, columns = masks.window(seen, 0)
    return RasterLayer(name, pixels[rows, columns], at[0] + columns.start, at[1] + rows.start)


def _spread(layer: RasterLayer, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A layer's pixels on a transparent picture of `size` (h, w)."""
    h, w = layer.pixels.shape[:2]
    whole = np.zeros((*size, 4), np.uint8)
    whole[layer.top : layer.top + h, layer.left : layer.left + w] = layer.pixels
    return whole
