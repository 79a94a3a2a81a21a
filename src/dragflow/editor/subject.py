"""The subject of a session: encoded once by the subject adapter, given to inversion and sampling as configured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragflow.core.arrays import Pixels, Window
from dragflow.core.config import EditConfig
from dragflow.core.models import SubjectId
from dragflow.core.task import DragTask
from dragflow.editor import frames
from dragflow.method.backbone import Subject
from dragflow.pixels.masks import bounds
from dragflow.subject.base import SubjectAdapter


@dataclass(frozen=True)
class SubjectKey:
    """What the injection of a subject depends on."""

    adapter: SubjectId
    box: Window | None
    scale: float | None
    time_scale: float


class SessionSubject:
    """Caches the features of the last subject, and what was computed from them for one time grid."""

    def __init__(self, adapter: SubjectAdapter | None, pixels: Pixels) -> None:
        """The subject of a picture (H, W, 3); without an adapter nothing is injected."""
        self.adapter = adapter
        self._pixels = pixels
        self._encoded: tuple[Window | None, Subject] | None = None
        self._current: tuple[object, Subject] | None = None

    def waits(self, config: EditConfig) -> bool:
        """Whether the inversion needs to know what is dragged."""
        return self.adapter is not None and config.subject.inverting and config.subject.crop == "region"

    def key(self, config: EditConfig, box: Window | None) -> SubjectKey | None:
        """What an inversion depends on; None if nothing is injected while inverting."""
        if self.adapter is None or not config.subject.inverting:
            return None
        return SubjectKey(self.adapter.record, box, config.subject.scale, config.subject.time_scale)

    def inverting(self, config: EditConfig, box: Window | None) -> Subject | None:
        """The subject that is injected while inverting."""
        return self._subject(config, box) if config.subject.inverting else None

    def sampling(self, config: EditConfig, box: Window | None) -> Subject | None:
        """The subject that is injected while dragging and denoising."""
        return self._subject(config, box) if config.subject.sampling else None

    def _subject(self, config: EditConfig, box: Window | None) -> Subject | None:
        if self.adapter is None:
            return None
        if self._encoded is None or self._encoded[0] != box:
            left, top, right, bottom = box or (0, 0, self._pixels.shape[1], self._pixels.shape[0])
            crop = self._pixels[top:bottom, left:right]
            size = (crop.shape[0], crop.shape[1])
            self._encoded, self._current = (box, self.adapter.encode(frames.as_image(crop, size))), None
        # Other grids have other times: what was cached for them is dropped.
        key = (config.subject.scale, config.subject.time_scale, config.inversion, config.size)
        if self._current is None or self._current[0] != key:
            self._current = key, self._encoded[1].under(config.subject)
        return self._current[1]


def subject_box(task: DragTask, config: EditConfig) -> Window | None:
    """The box around all dragged regions, or the window that the model sees; None if the whole picture is the subject.

    What is removed is no subject; where nothing else is dragged, that is the window.

    Args:
        task: on the whole picture.
        config: with its window settled.
    """
    kept = [operation.mask for operation in task.operations if operation.lands]
    if config.subject.crop == "whole" or not kept:
        return config.size.box
    return bounds(np.logical_or.reduce(kept))
