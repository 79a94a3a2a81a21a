"""Progress of an edit as ComfyUI shows it: a bar, previews, and its own way to cancel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dragflow import Event, Stepped

_SHARES = {"encode": 2, "train": 0, "bridge": 10, "invert": 35, "start": 5, "drag": 30, "denoise": 25, "decode": 3}
"""About how long the phases take, in the order in which they come."""
_TOTAL = sum(_SHARES.values())
_PREVIEW_SECONDS = 1.0
"""Least time between two previews: each costs a decode."""


class Progress:
    """An observer of the edits of one node."""

    def __init__(self, count: int) -> None:
        """Show the edits of so many pictures, one after the other."""
        from comfy.utils import ProgressBar

        self._bar = ProgressBar(_TOTAL * count)
        self._begun = 0
        self._shown = 0.0

    def next_picture(self) -> None:
        """Another picture begins."""
        self._begun += _TOTAL

    def __call__(self, event: Event) -> None:
        """Show an event.

        Raises:
            InterruptProcessingException: the person cancelled; it passes through the edit, which leaves all as it was.
        """
        import comfy.model_management as manager

        from dragflow import Stepped

        manager.throw_exception_if_processing_interrupted()
        if isinstance(event, Stepped):
            phases = list(_SHARES)
            before = sum(_SHARES[phase] for phase in phases[: phases.index(event.phase)])
            done = before + _SHARES[event.phase] * event.index / max(1, event.total)
            self._bar.update_absolute(self._begun + round(done), preview=self._preview(event))

    def _preview(self, event: Stepped) -> tuple[str, object, int] | None:
        """The picture as it looks now, where ComfyUI shows previews and the last one is a while ago."""
        import latent_preview
        from comfy.cli_args import LatentPreviewMethod, args

        wanted = args.preview_method != LatentPreviewMethod.NoPreviews
        if event.preview is None or not wanted or time.monotonic() - self._shown < _PREVIEW_SECONDS:
            return None
        from PIL import Image

        picture = Image.fromarray(event.preview())
        self._shown = time.monotonic()
        return ("JPEG", picture, latent_preview.MAX_PREVIEW_RESOLUTION)
