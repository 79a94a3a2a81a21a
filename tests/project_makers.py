"""Results as edits save them, made without a model, and projects of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dragflow.core.models import ModelOptions, WeightsId
from dragflow.core.motion import Translate
from dragflow.core.result import Recipe
from dragflow.core.task import Box, Instruction, Operation
from dragflow.files.encoding import encode_png
from dragflow.files.pictures import SourceImage, decode_image, from_pixels
from dragflow.files.presets import load_preset
from dragflow.files.projects import Project
from dragflow.files.recipes import encode_result

MOVE = Instruction(
    Operation(Box(10, 10, 20, 20), Translate((40, 30), label="relocation"), cut="hard", behind=False), "a box", "moved"
)


def picture(channels: int = 3, size: tuple[int, int] = (48, 64)) -> SourceImage:
    """Noise, perhaps with alpha."""
    return from_pixels(np.random.default_rng(channels).integers(0, 256, (*size, channels), dtype=np.uint8))


def result(source: SourceImage, seed: int = 0, model: str = "dummy", kind: str = "PNG") -> bytes:
    """A result of `MOVE`, continued from its source; another seed paints another colour."""
    pixels = source.pixels.copy()
    pixels[20:40, 30:50] = 40 + seed
    config = load_preset("paste").with_(seed=seed)
    weights = WeightsId(ModelOptions(model), "0123456789abcdef")
    recipe = Recipe(MOVE, config, config.hash, weights, source.sha256, {}, parent=source.recipe_sha256)
    return encode_result(source, pixels, recipe, kind=kind)


def made(data: bytes) -> SourceImage:
    """A result as a picture to be continued from."""
    return decode_image(data, "of a result")


def chained(channels: int = 3) -> tuple[Project, list[bytes]]:
    """A picture, two results one from the other, a variant of the first, and a region that is marked; its results."""
    source = picture(channels)
    first, variant = result(source, 1), result(source, 2)
    results = [first, result(made(first), 3, kind="WEBP"), variant]
    project = Project.of_file(encode_png(source, source.pixels), "hill.png").added(results[0], MOVE, names=["Box"])
    return project.added(results[1], seconds=2.5).added(results[2]).marked(MOVE, parent=2, names=["Box"]), results


def unzipped(data: bytes) -> dict[str, Any]:
    """The files of a zip."""
    import io
    from zipfile import ZipFile

    with ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}
