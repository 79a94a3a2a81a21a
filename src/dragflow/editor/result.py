"""The result of an edit: the picture, to be shown and saved, and the record that reproduces it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
from PIL import Image

from dragflow.core.arrays import DeepPixels, Mask, Pixels, own
from dragflow.core.checked import as_path
from dragflow.core.result import Provenance
from dragflow.core.task import DragTask
from dragflow.files.atomic import write_bytes
from dragflow.files.embedded import recipe_digest
from dragflow.files.encoding import check_output_name
from dragflow.files.outputs import check_writable, named_files
from dragflow.files.pictures import SourceImage
from dragflow.files.recipes import dump_recipe, encode_result
from dragflow.pixels.masks import landing


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
    deep: DeepPixels | None = None
    """(H, W, 3), the same in 16 bits a channel where the source has so many; outside of the area equal to it, too."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def area(self) -> Mask:
        """(H, W), the editable area."""
        return self.task.area

    @property
    def targets(self) -> tuple[Mask, ...]:
        """(H, W) each: where the region of every operation was moved to; nowhere if it was removed."""
        return tuple(map(landing, self.task.operations))

    @property
    def image(self) -> Image.Image:
        """The upright picture, with the alpha of the source if it has one."""
        alpha = self.source.alpha
        return Image.fromarray(self.pixels if alpha is None else np.dstack([self.pixels, alpha]))

    @property
    def deep_with_alpha(self) -> DeepPixels | None:
        """(H, W, 3 or 4), the picture in 16 bits with the alpha of the source; None where that has 8 bits."""
        deep = self.source.deep
        if self.deep is None or deep is None or deep.shape[2] == 3:
            return self.deep
        return np.dstack([self.deep, deep[..., 3]])

    @property
    def picture(self) -> SourceImage:
        """The result as a picture to be edited: the one that the file is read as which is saved of it."""
        made, deep = recipe_digest(dump_recipe(self.provenance.recipe)), self.deep_with_alpha
        if deep is None:
            return replace(self.source, pixels=self.pixels, recipe_sha256=made)
        whole = SourceImage.of_deep(deep)  # whose eight bits follow from its sixteen
        return replace(self.source, pixels=whole.pixels, alpha=whole.alpha, deep=deep, recipe_sha256=made)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a file with its recipe atomically; the same recipe gives the same bytes. What exists is replaced.

        It is a PNG, or what the name asks for: .tif, .webp, .avif, .jpg. What that does not keep is told as a warning.

        Raises:
            UserError: the name ends otherwise, is that of the source, a mask or a file of the model, or cannot be
                written.
        """
        path = as_path(path)
        kind = check_output_name(path)
        recipe = self.provenance.recipe
        made_from = (self.source.path, self.task.instruction, recipe.weights.options, recipe.subject)
        check_writable(path, inputs=named_files(*made_from))
        write_bytes(path, self.encoded(kind))

    def png(self) -> bytes:
        """The bytes of a PNG with its recipe."""
        return self.encoded("PNG")

    def encoded(self, kind: str) -> bytes:
        """The bytes of a file of one of the formats of `files.encoding.FORMATS`, with its recipe."""
        return encode_result(self.source, self.pixels, self.provenance.recipe, deep=self.deep, kind=kind)
