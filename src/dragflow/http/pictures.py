"""Uploaded pictures: kept in memory for a while under ids that cannot be guessed."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from dragflow.files.pictures import SourceImage
from dragflow.http.refused import not_found
from dragflow.http.settings import ServerSettings


class Pictures:
    """Who holds the id of a picture may use it; nobody can list them."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._kept: OrderedDict[str, tuple[SourceImage, float]] = OrderedDict()
        """By id: the picture and its last use; the longest unused one first."""
        self._changing = threading.Lock()

    def add(self, source: SourceImage) -> str:
        """Keep a picture; gives its id."""
        name = secrets.token_urlsafe(18)
        with self._changing:
            self._kept[name] = (source, self._clock())
            self._drop()
        return name

    def get(self, name: str) -> SourceImage:
        """A picture by its id.

        Raises:
            Refused: no picture has this id, or it is no longer kept.
        """
        with self._changing:
            self._drop()
            if name not in self._kept:
                raise not_found("picture")
            source, _ = self._kept.pop(name)
            self._kept[name] = (source, self._clock())
            return source

    def remove(self, name: str) -> None:
        """Forget a picture.

        Raises:
            Refused: none has this id.
        """
        with self._changing:
            if self._kept.pop(name, None) is None:
                raise not_found("picture")

    def drop_expired(self) -> None:
        """Forget what was not used for too long."""
        with self._changing:
            self._drop()

    def _drop(self) -> None:
        oldest = self._clock() - self._settings.keep_seconds
        total = sum(_bytes(source) for source, _ in self._kept.values())
        while self._kept:
            source, used = next(iter(self._kept.values()))
            if used >= oldest and (total <= self._settings.kept_bytes or len(self._kept) == 1):
                return
            self._kept.popitem(last=False)
            total -= _bytes(source)


def _bytes(source: SourceImage) -> int:
    return sum(x.nbytes for x in (source.pixels, source.alpha, source.deep) if x is not None)
