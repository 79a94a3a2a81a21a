"""The result of an edit: the picture, to be shown and saved, and the record that reproduces it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from PIL import Image

from dragflow.core.arrays import Mask, Pixels, own
from dragflow.core.checked import as_path
from dragflow.core.result import Provenance
from dragflow.core.task import DragTask
from dragflow.files.atomic import write_bytes
from dragflow.files.outputs import check_writable, named_files
from dragflow.files.pictures import SourceImage, check_png_name
from dragflow.files.recipes import encode_result
from dragflow.pixels.masks import warp_mask


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edited picture."""

    pixels: Pixels
    """(H, W, 3), upright RGB of the source's size; outside the editable area equal to the source bit for bit."""
    task: DragTask
    """The request, on its picture."""
    losses: tuple[float, ...]
    """Supervision loss of every iteration."""
    provenance: Provenance
    source: SourceImage
    """The picture that was edited: its alpha, layout, EXIF and colour profile are those of the saved result."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def area(self) -> Mask:
        """(H, W), the editable area."""
        return self.task.area

    @property
    def targets(self) -> tuple[Mask, ...]:
        """(H, W) each: where the region of every operation was moved to."""
        return tuple(warp_mask(op.mask, op.matrix()) for op in self.task.operations)

    @property
    def image(self) -> Image.Image:
        """The upright picture, with the alpha of the source if it has one."""
        alpha = self.source.alpha
        return Image.fromarray(self.pixels if alpha is None else np.dstack([self.pixels, alpha]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a PNG with its recipe atomically; the same recipe gives the same bytes. A file that exists is replaced.

        Raises:
            UserError: the name does not end in .png, is that of the source, a mask or a file of the model, or cannot be
                written.
        """
        path = as_path(path)
        check_png_name(path)
        recipe = self.provenance.recipe
        made_from = (self.source.path, self.task.instruction, recipe.weights.options, recipe.subject)
        check_writable(path, inputs=named_files(*made_from))
        write_bytes(path, self.png())

    def png(self) -> bytes:
        """The bytes of that PNG."""
        return encode_result(self.source, self.pixels, self.provenance.recipe)
