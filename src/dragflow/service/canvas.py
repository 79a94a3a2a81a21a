"""What a page asks while a hand draws and drags: the thing under points, what a ghost is drawn from, a preview."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.core.task import Instruction
from dragflow.files.instructions import to_file
from dragflow.files.pictures import SourceImage
from dragflow.pixels.ghost import Ghost, GhostRegion, Mesh, Placed, ghost_of
from dragflow.pixels.layers import Kept, coarse_layers
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.select import BUILT_IN, Selector


class Canvas:
    """Answers what `studio/canvas` asks of its host; the layers of the last regions are kept, for any number of
    threads.
    """

    def __init__(self, selector: Selector = BUILT_IN, kept: Kept | None = None) -> None:
        """Find things with a selector, and keep layers in `kept`, which others may share."""
        self._selector = selector
        self._kept = Kept() if kept is None else kept

    def select(self, source: SourceImage, points: Sequence[Point]) -> Mask:
        """The thing (H, W) under points of a picture.

        Raises:
            UserError: no point, or one outside of the picture.
        """
        h, w = source.size
        for x, y in points:
            if not (0 <= x < w and 0 <= y < h):
                raise UserError(f"point {(x, y)} is outside of the picture ({w} x {h})")
        return self._selector.select(source.pixels, points)

    def preview(self, source: SourceImage, instruction: Instruction, *, margin: int = 0) -> Pixels:
        """The pixel preview (H, W, 3) of an instruction.

        Raises:
            UserError: an instruction that breaks a rule.
        """
        task = resolve(source.pixels, instruction, margin=margin)
        return draw_preview(task, self._kept.of(task), texture=True)

    def ghost(self, source: SourceImage, instruction: Instruction, *, coarse: bool = False) -> dict[str, Any]:
        """What the ghost of an instruction is drawn from, as JSON can hold it; `canvas/received.js` reads it.

        Args:
            source: the picture.
            instruction: regions, with motions from which their labels and cuts are guessed.
            coarse: soon, with a rough plate and without shadows.

        Raises:
            UserError: an instruction that breaks a rule.
        """
        task = resolve(source.pixels, instruction)
        return _ghost_data(instruction, ghost_of(task, coarse_layers(task) if coarse else self._kept.of(task).textured))


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG that is soon looked at and thrown away; (h, w), (h, w, 3) or (h, w, 4)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _ghost_data(asked: Instruction, ghost: Ghost) -> dict[str, Any]:
    pairs = zip(asked.operations, ghost.instruction.operations, strict=True)
    snapped = [settled.region is not operation.region for operation, settled in pairs]
    return {
        "plate": _placed(ghost.plate),
        "instruction": to_file(ghost.instruction),
        "regions": [_region(*pair) for pair in zip(ghost.regions, snapped, strict=True)],
    }


def _region(region: GhostRegion, snapped: bool) -> dict[str, Any]:
    return {
        "snapped": snapped,
        "cutout": _placed(region.cutout),
        "shadow": _placed(region.shadow),
        "offset": region.offset,
        "mesh": None if region.mesh is None else _mesh(region.mesh),
    }


def _mesh(mesh: Mesh) -> dict[str, Any]:
    return {
        "xs": mesh.xs.tolist(),
        "ys": mesh.ys.tolist(),
        "weights": np.round(mesh.weights, 4).astype(float).tolist(),
        "lead": mesh.lead,
    }


def _placed(placed: Placed | None) -> dict[str, Any] | None:
    if placed is None:
        return None
    return {"left": placed.left, "top": placed.top, "png": base64.b64encode(as_png(placed.pixels)).decode()}
