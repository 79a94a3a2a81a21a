"""What happened in an edit, for people who want to look inside: masks, losses, and the picture as it formed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dragflow.core.arrays import Pixels
from dragflow.core.events import Event, Observer, Stepped
from dragflow.core.task import DragTask
from dragflow.pixels import masks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FRAMES = 40
"""Previews at most: each costs a decode."""
_MASK_FRAMES = 12
_WEBP_SIDE = 16383


def trace_files(folder: Path) -> tuple[Path, ...]:
    """Where a trace is written: the regions on their way, the losses, a plot of them, the picture as it forms."""
    return tuple(folder / name for name in ("moving_mask.webp", "losses.csv", "losses.png", "edit.webp"))


class Tracer:
    """An observer that passes events on and gathers losses and previews, for `files`."""

    def __init__(self, folder: Path, observer: Observer) -> None:
        self._folder = folder
        self._observer = observer
        self._losses: list[tuple[int, float, float]] = []
        self._frames: list[Pixels] = []

    def __call__(self, event: Event) -> None:
        """Gather, then pass on."""
        if isinstance(event, Stepped):
            if event.loss is not None:
                self._losses.append((event.index, event.progress or 0.0, event.loss))
            stride = max(1, 2 * event.total // _FRAMES)
            if event.phase in ("drag", "denoise") and event.preview is not None and event.index % stride == 0:
                self._frames.append(event.preview())
        self._observer(event)

    def files(self, task: DragTask, result: Pixels) -> dict[Path, bytes]:
        """The files of the folder, by their paths."""
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(("iteration", "progress", "loss"))
        writer.writerows(self._losses)
        moving = animation([_moving(task, k / _MASK_FRAMES) for k in range(_MASK_FRAMES + 1)])
        contents = (moving, table.getvalue().encode(), self._plot(), animation([*self._frames, result]))
        return dict(zip(trace_files(self._folder), contents, strict=True))

    def _plot(self) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes: Axes = figure.subplots()
        axes.plot([index for index, _, _ in self._losses], [loss for _, _, loss in self._losses], marker=".")
        axes.set(xlabel="iteration", ylabel="loss", title="Region supervision" if self._losses else "No iterations")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


def animation(frames: list[Pixels]) -> bytes:
    """An endless WebP animation of pictures, all brought to the size of the last, or the largest that WebP has."""
    h, w = frames[-1].shape[:2]
    scale = min(1.0, _WEBP_SIDE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    images = [Image.fromarray(frame).resize(size) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer, "WEBP", save_all=True, append_images=images[1:], duration=[120] * (len(images) - 1) + [1200], loop=0
    )
    return buffer.getvalue()


def _moving(task: DragTask, progress: float) -> Pixels:
    """The picture, darkened outside of the regions as they stand at this progress."""
    moving = np.zeros(task.area.shape, dtype=np.bool_)
    for operation in (op for op in task.operations if op.lands):
        moving |= masks.warp_mask(operation.mask, operation.matrix(progress))
    return np.where(moving[..., None], np.uint8(255), (task.image * 0.4).astype(np.uint8))
