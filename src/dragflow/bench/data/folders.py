"""Finding the samples below a folder and reading them one at a time; links that point outside are never followed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dragflow.bench.data.parts import Kind, Place
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.core.errors import UserError
from dragflow.core.plugins import Plugins

KINDS = Plugins(
    "format of samples",
    "dragflow.data",
    {
        "world": "dragflow.bench.data.exported:KIND",
        "red-bench": "dragflow.bench.data.redbench:KIND",
        "regiondrag": "dragflow.bench.data.regiondrag:KIND",
        "dragbench": "dragflow.bench.data.dragbench:KIND",
        "vfd": "dragflow.bench.data.vfd:KIND",
        "drag100": "dragflow.bench.data.drag100:KIND",
        "sdedrag": "dragflow.bench.data.sdedrag:KIND",
    },
)
"""Name to a `Kind`; a folder is of the first kind that matches."""


def kinds() -> tuple[Kind, ...]:
    """Every format, in the order in which they are tried."""
    return tuple(KINDS.load(name) for name in KINDS.names)


@dataclass(frozen=True)
class Entry:
    """A sample folder, or a place that cannot be read."""

    place: Place
    kind: Kind | None
    problem: str = ""
    """Why there is no kind."""


@dataclass(frozen=True)
class Folder:
    """A data set on disk."""

    root: Path
    regions: RegionRule

    @property
    def name(self) -> str:
        """The kinds of its samples."""
        present = {entry.kind.name for entry in self._entries.values() if entry.kind}
        return ", ".join(kind.name for kind in kinds() if kind.name in present) or "unreadable data"

    @property
    def ids(self) -> Sequence[str]:
        """Paths below the root with "/" between their parts, in natural order."""
        return list(self._entries)

    def load(self, sample: str) -> Sample:
        """Read and check one sample.

        Raises:
            UserError: what is wrong with it.
        """
        entry = self._entries.get(sample)
        if entry is None:
            raise UserError(f"{self.root} has no sample {sample!r}")
        if entry.kind is None:
            raise UserError(entry.problem)
        _check_files(entry.place.folder, self.root)
        loaded = entry.kind.load(entry.place, self.regions)
        try:
            loaded.task  # noqa: B018  # checks the instruction against the picture
        except UserError as error:
            raise UserError(f"{entry.place.folder}: {error}") from error
        return loaded

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        entries = {entry.place.id: entry for entry in _scan(self.root)}
        return {name: entries[name] for name in sorted(entries, key=natural)}


def open_folder(folder: Path, regions: RegionRule) -> Folder:
    """The samples below a folder, or the one sample that the folder is.

    Raises:
        UserError: the folder does not exist, or holds no sample.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {problem}: give the folder of a data set")
    data = Folder(folder.resolve(), regions)
    if not data.ids:
        known = "; ".join(f"{kind.files} ({kind.name})" for kind in kinds())
        raise UserError(f"{folder} holds no sample: it and every folder below it were searched for {known}")
    return data


def natural(name: str) -> tuple[list[list[str | int]], str]:
    """A sort key that puts a2 before a10, and the content of `a` before `a-b`."""
    parts = [re.split(r"(\d+)", part) for part in name.split("/")]
    return [[int(bit) if i % 2 else bit for i, bit in enumerate(part)] for part in parts], name


def _scan(root: Path) -> Iterator[Entry]:
    """Every sample folder, and every place that cannot be read; hidden folders are skipped."""
    known = kinds()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield _entry(folder, root, None, f"cannot be read: {error.strerror}")
            continue
        files = frozenset(entry.name for entry in entries)
        kind = next((kind for kind in known if kind.matches(files)), None)
        if kind is not None:
            yield _entry(folder, root, kind)
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                # A link to a place inside the data set would give a sample twice: the place itself is scanned anyway.
                problem = _link_problem(path, root)
                if problem and (path.is_dir() or not path.exists()):
                    yield _entry(path, root, None, problem)
            elif entry.is_dir():
                waiting.append(path)


def _entry(folder: Path, root: Path, kind: Kind | None, problem: str = "") -> Entry:
    parts = folder.relative_to(root).parts or (root.name,)
    given = "/".join(parts)
    # Bytes that are not UTF-8 cannot be written into records and reports: they are escaped.
    name = os.fsencode(given).decode("utf-8", "backslashreplace")
    if name != given:
        kind, problem = None, "has a name that is not UTF-8: rename it"
    place = Place(name, name.rpartition("/")[0], folder)
    return Entry(place, kind, f"{name} {problem}" if problem else "")


def _link_problem(link: Path, root: Path) -> str:
    """What is wrong with a link; "" if its target is below the root."""
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "is a broken link: remove it, or put the file in its place"
    if real.is_relative_to(root):
        return ""
    return f"is a link that points outside the data set, to {real}: put a copy in its place"


def _check_files(folder: Path, root: Path) -> None:
    """Refuse links that point outside the data set, and files that are not regular (reading a pipe would never end)."""
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            problem = _link_problem(path, root) if path.is_symlink() else ""
            if not problem and not (path.is_file() or path.is_dir()):
                problem = "is not a regular file: put one in its place"
            if problem:
                raise UserError(f"{path} {problem}")
