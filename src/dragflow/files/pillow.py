"""Pillow's own limits and warnings, set aside while a picture is read: ours stand in their place."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import PngImagePlugin

_lock = threading.Lock()
_readers = 0
_changed = ExitStack()


@contextmanager
def lenient_pillow() -> Iterator[None]:
    """Let a compressed chunk of a PNG be as long as all of its texts may be together, and silence the warnings.

    Pillow's usual 1 MiB would refuse colour profiles and recipes that it has written itself. Both settings belong to
    the process: they are changed while any thread reads, and restored when the last one is done.
    """
    global _readers
    with _lock:
        if not _readers:
            _changed.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module="PIL")
            _changed.callback(setattr, PngImagePlugin, "MAX_TEXT_CHUNK", PngImagePlugin.MAX_TEXT_CHUNK)
            PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _changed.close()
