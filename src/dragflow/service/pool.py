"""A cache of loaded models for the next jobs, bounded; the least recently used is dropped first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from dragflow.core.checked import check, expect
from dragflow.core.fields import FOLDER_BYTES, AtLeastOne
from dragflow.core.models import ModelOptions
from dragflow.files.models import settled_model

if TYPE_CHECKING:
    from dragflow.editor.editor import Editor


class ModelPool:
    """Holds the editors for options; each is loaded once while it is kept."""

    def __init__(
        self, size: int = 1, inversion_bytes: int = 0, cache: Path | None = None, cache_bytes: int = FOLDER_BYTES
    ) -> None:
        """Keep `size` models at most, and of each so many bytes of inverted pictures, which jobs share.

        In the folder `cache` they are kept for other processes, too, `cache_bytes` of them at most.

        Raises:
            UserError: fewer than one, or less than nothing.
        """
        self._size: int = check(AtLeastOne, size, "ModelPool.size")
        self._inversion_bytes: int = check(Annotated[int, Ge(0)], inversion_bytes, "ModelPool.inversion_bytes")
        self._cache = cache
        self._cache_bytes: int = check(Annotated[int, Ge(0)], cache_bytes, "ModelPool.cache_bytes")
        self._editors: OrderedDict[ModelOptions, Editor] = OrderedDict()
        self._took: dict[ModelOptions, float] = {}
        self._loading = threading.Lock()

    def get(self, options: ModelOptions) -> Editor:
        """The editor for options; loads the model if it is not in the pool.

        Raises:
            UserError: see `Editor.load`.
        """
        from dragflow.editor.editor import check_weights

        key = _any_weights(expect(ModelOptions, options))
        with self._loading:
            if key not in self._editors:
                while len(self._editors) >= self._size:
                    self._editors.popitem(last=False)
                begun = time.monotonic()
                self._editors[key] = self._load(key)
                self._took[key] = time.monotonic() - begun
            self._editors.move_to_end(key)
            editor = self._editors[key]
        check_weights(editor, settled_model(options))
        return editor

    def loaded(self, options: ModelOptions) -> Editor | None:
        """The editor for options if it is in the pool now; never waits."""
        return self._editors.get(_any_weights(options))

    def load_seconds(self, options: ModelOptions) -> float | None:
        """How long it took to load the model the last time; None if it never was loaded."""
        return self._took.get(_any_weights(options))

    @property
    def keeps_inversions(self) -> bool:
        """Whether jobs share inverted pictures."""
        return self._cache is not None or self._inversion_bytes > 0

    def _load(self, options: ModelOptions) -> Editor:
        from dragflow.editor.editor import Editor
        from dragflow.editor.inversions import Inversions
        from dragflow.editor.stored import StoredInversions

        editor = Editor.load(options)
        if self._cache is not None:
            editor.inversions = StoredInversions(self._cache, self._inversion_bytes, self._cache_bytes)
        elif self._inversion_bytes:
            editor.inversions = Inversions(max_bytes=self._inversion_bytes)
        return editor

    def drop(self, options: ModelOptions) -> None:
        """Drop one model, if it is in the pool, and hand the memory back to the device's other programs."""
        from dragflow.backbones.devices import hand_back_memory

        with self._loading:
            self._editors.pop(_any_weights(options), None)
        hand_back_memory()

    def clear(self) -> None:
        """Drop all models."""
        with self._loading:
            self._editors.clear()


def _any_weights(options: ModelOptions) -> ModelOptions:
    """The settled options without the fingerprints that are only checked."""
    options = settled_model(options)
    subject = options.subject and replace(options.subject, fingerprint=None)
    return replace(options, fingerprint=None, subject=subject)
