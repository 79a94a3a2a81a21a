"""A project as layers: the first picture, and what each edit changed on it."""

from __future__ import annotations

import numpy as np

from dragflow.core.arrays import Pixels
from dragflow.core.errors import UserError
from dragflow.files import openraster
from dragflow.files.openraster import RasterLayer
from dragflow.files.project_edits import ProjectEdit
from dragflow.files.projects import Project
from dragflow.pixels import masks
from dragflow.pixels.resolve import resolve


def project_raster(project: Project, number: int | None = None) -> bytes:
    """An OpenRaster file of all that leads to a result: the first picture, and a layer for each edit.

    A layer is what its edit made of the area that it could change; with all of them shown the picture is the result.

    Args:
        project: with at least one result.
        number: of the edit; the last one with a result when None.

    Raises:
        UserError: there is no such result.
    """
    number = last_result(project) if number is None else number
    source = project.picture()
    whole = np.full(source.size, 255, np.uint8) if source.alpha is None else source.alpha
    layers = [RasterLayer(project.source.name, np.dstack([source.pixels, whole]))]
    before = source.pixels
    for step in chain(project, number):
        edit, after = project.edits[step - 1], project.picture(step).pixels
        layers.append(_changed(f"Edit {step}: {', '.join(edit.names)}".rstrip(": "), edit, before, after))
        before = after
    return openraster.openraster(layers, source.size, source.icc_profile)


def last_result(project: Project) -> int:
    """The number of the last edit that has a result.

    Raises:
        UserError: none has.
    """
    made = [number for number, edit in enumerate(project.edits, start=1) if edit.result is not None]
    if not made:
        raise UserError("the project has no result yet: run an edit first")
    return made[-1]


def chain(project: Project, number: int) -> list[int]:
    """The numbers of the edits that lead to a result, the first one first.

    Raises:
        UserError: there is no such result.
    """
    steps: list[int] = []
    while number:
        project.stored(number)
        steps.append(number)
        number = project.edits[number - 1].parent
    return steps[::-1]


def _changed(name: str, edit: ProjectEdit, before: Pixels, after: Pixels) -> RasterLayer:
    """What an edit made of its area, without what is outside."""
    recipe = edit.recipe
    area = (before != after).any(-1)
    if recipe is not None:
        area |= resolve(before, recipe.instruction, margin=recipe.config.area.margin).area
    rows, columns = masks.window(area, 0) if area.any() else (slice(0, 1), slice(0, 1))
    pixels = np.dstack([after, area.astype(np.uint8) * 255])[rows, columns]
    return RasterLayer(name, pixels, columns.start, rows.start, clipped=True)
