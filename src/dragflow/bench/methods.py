"""The methods that a benchmark compares; those with a model are presets, and share inversion, K/V and background."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.core.motion import Remove, Translate
from dragflow.core.task import Box, Instruction, Operation
from dragflow.pixels import masks
from dragflow.pixels.layers import layers_of
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.service.jobs import plan
from dragflow.service.pool import ModelPool
from dragflow.service.run import open_session

WITH_MODEL = {"dragflow": None, "point": "point", "regiondrag": "regiondrag", "text": "text"}
"""Methods that a model carries out, and the preset of each when none is named; None: the one that serves it best."""


def _unfilled(image: Pixels, hole: Mask) -> Pixels:
    return image.copy()


def opencv_fill(image: Pixels, hole: Mask) -> Pixels:
    """The hole and its blurred rim inpainted by OpenCV (Telea's method)."""
    return np.asarray(cv2.inpaint(image, masks.dilate(hole, 2).astype(np.uint8), 3, cv2.INPAINT_TELEA), dtype=np.uint8)


def by_relocation(sample: Sample) -> Pixels:
    """What is copied or removed, without either: moved by a relocation, then the source's own pixels pasted back.

    A copy: where the region was. A removal: where it went, which is as far away as the picture allows.
    """
    image, area = sample.image.pixels, sample.task.area
    shown = image.copy()
    pairs = zip(sample.asked.operations, sample.task.operations, strict=True)
    moves = [_relocated(asked, op.mask) for asked, op in pairs]
    task = resolve(image, replace(sample.asked, operations=tuple(moves), editable=None))
    drawn = draw_preview(task)
    for asked, op in zip(sample.task.operations, task.operations, strict=True):
        back = asked.mask if asked.stays else masks.landing(op) & ~op.mask if not asked.lands else np.zeros_like(area)
        drawn[back] = image[back]
    shown[area] = drawn[area]
    return shown


def _relocated(operation: Operation, region: Mask) -> Operation:
    motion = operation.motion
    if not isinstance(motion, Remove):
        return replace(operation, motion=replace(motion, label="relocation"))
    h, w = region.shape
    left, top, right, bottom = masks.bounds(region)
    x, y = masks.centroid(region)
    ways = ((dx, dy) for dx in (-left, w - right) for dy in (-top, h - bottom))
    dx, dy = max(ways, key=lambda way: math.hypot(*way))
    return replace(operation, motion=Translate((x + dx, y + dy), "relocation"), handle=(x, y), behind=False)


WITHOUT_MODEL: dict[str, Callable[[Sample], Pixels]] = {
    "paste": lambda sample: draw_preview(sample.task, layers_of(sample.task, _unfilled, plain=True)),
    "paste-inpaint": lambda sample: draw_preview(sample.task, layers_of(sample.task, opencv_fill, plain=True)),
    "relocate-paste": by_relocation,
    "preview": lambda sample: draw_preview(resolve(sample.image.pixels, sample.asked)),
    "preview-texture": lambda sample: draw_preview(resolve(sample.image.pixels, sample.asked), texture=True),
}
"""The region pasted at its target as it was painted; the same over OpenCV's inpainting; copies and removals made of
relocations; dragflow's own preview, with holes filled so that it errs least, and as people see it."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """An edited picture and what it took."""

    image: Pixels
    open_seconds: float
    """Work that further edits of the same picture would share."""
    edit_seconds: float
    calls: int = 0
    peak_memory_mib: float | None = None


def check_method(method: str) -> None:
    """Refuse the name of an unknown method.

    Raises:
        UserError: unknown name.
    """
    if method not in WITH_MODEL and method not in WITHOUT_MODEL:
        raise UserError(f"method {method!r} is not known: choose one of {', '.join((*WITH_MODEL, *WITHOUT_MODEL))}")


def run_without_model(method: str, sample: Sample) -> Outcome:
    """Draw one sample."""
    begun = time.perf_counter()
    image = WITHOUT_MODEL[method](sample)
    return Outcome(image, 0.0, time.perf_counter() - begun)


def run_with_model(model: ModelOptions, pool: ModelPool, config: EditConfig, sample: Sample) -> Outcome:
    """Edit one sample.

    Raises:
        DragFlowError: the method cannot edit this sample.
    """
    instruction = as_points(sample) if config.optimise.supervision == "point" else sample.asked
    pool.get(model)  # so that loading is not counted
    begun = time.perf_counter()
    job = plan(sample.image, instruction, config, model)
    session = open_session(job, pool)
    opened = time.perf_counter()
    result = session.edit(job.task, config)
    edited = time.perf_counter()
    provenance = result.provenance
    calls = sum(timing.calls for timing in provenance.timings)
    return Outcome(result.pixels, opened - begun, edited - opened, calls, provenance.peak_memory_mib)


def as_points(sample: Sample) -> Instruction:
    """The instruction for point-based methods: a handle of one pixel for each annotated pair, the area as for regions.

    Raises:
        UserError: no pair moves.
    """
    pairs: dict[Point, Point] = {}
    for begin, target in zip(sample.begin_points, sample.target_points, strict=True):
        pixel = (float(round(begin[0])), float(round(begin[1])))
        if np.hypot(target[0] - pixel[0], target[1] - pixel[1]) >= 1:
            pairs.setdefault(pixel, target)
    if not pairs:
        raise UserError(
            f"sample {sample.id} has no pair of points that moves by a pixel: a point method cannot run on it"
        )
    operations = [
        Operation(Box(x, y, x, y), Translate(to, "relocation"), (x, y), cut="hard") for (x, y), to in pairs.items()
    ]
    return replace(sample.asked, operations=tuple(operations))
