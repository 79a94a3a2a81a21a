"""A manifest or a folder that grows: what has come to it since the last look, and is complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from dragflow.core.errors import UserError
from dragflow.files.red_bench import NEEDED, sample_paths
from dragflow.files.texts import check_inside, is_folder
from dragflow.service.batch.manifest import Item, Listing, picture_of, read_manifest

PAUSE = 1.0
"""Seconds between two looks."""

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[str, int, int], ...]
"""Of every file of an item: its path, its size and when it was changed."""


class Watched:
    """A manifest whose items are each given once: when all their files are there and did not change for a look."""

    def __init__(self, manifest: Path, root: Path | None = None, skip: Path | None = None) -> None:
        """See `read_manifest`; `root` is where files may be, the manifest's folder if None."""
        self._manifest, self._root, self._skip = manifest, root, skip
        self._given = set[str]()
        self._before = dict[str, _Stamp]()

    def looks(self) -> Iterator[tuple[Listing, tuple[Item, ...]]]:
        """The manifest at each look, and what is new in it; endless.

        Raises:
            UserError: it cannot be read at the first look; at a later one that is told in the log.
        """
        listing = read_manifest(self._manifest, skip=self._skip, growing=True)
        while True:
            yield listing, self._new(listing)
            time.sleep(PAUSE)
            try:
                listing = read_manifest(self._manifest, skip=self._skip, growing=True)
            except UserError as error:
                _log.warning("%s", error)

    def _new(self, listing: Listing) -> tuple[Item, ...]:
        root = self._root or listing.folder
        unseen = [item for item in listing.items if item.name not in self._given]
        stamps = {item.name: _stamp(item, listing.folder, root) for item in unseen}
        known = {name: stamp for name, stamp in stamps.items() if stamp is not None}
        new = tuple(
            item for item in unseen if item.name in known and known[item.name] in ((), self._before.get(item.name))
        )
        self._given.update(item.name for item in new)
        self._before = known
        return new


def _stamp(item: Item, folder: Path, root: Path) -> _Stamp | None:
    """The files of an item as they are; None while one is missing, () of an item that is refused anyway."""
    asked, shot = folder / item.instruction, folder / picture_of(item)
    try:
        if item.problem:
            return ()
        for path in (asked, shot):
            check_inside(path, root)
        sample = [*(asked / name for name in NEEDED), *sample_paths(asked)]
        files = [shot, *(sample if is_folder(asked) else [asked])]
        found = [(str(path), path.stat()) for path in files]
    except FileNotFoundError:
        return None
    except (OSError, UserError):
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)
