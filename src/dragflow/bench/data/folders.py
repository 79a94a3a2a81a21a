"""Finds the samples below a folder and reads them one at a time; links that lead out of it are never followed."""

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
"""Name to a `Kind`; the first that knows a folder has it."""


def kinds() -> tuple[Kind, ...]:
    """Every format, in the order in which they are tried."""
    return tuple(KINDS.load(name) for name in KINDS.names)


@dataclass(frozen=True)
class Found:
    """A sample folder, or a place where one cannot be read."""

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
        there = {found.kind.name for found in self._found.values() if found.kind}
        return ", ".join(kind.name for kind in kinds() if kind.name in there) or "unreadable data"

    @property
    def ids(self) -> Sequence[str]:
        """Paths below the root, "/" between their parts, numbers in them in their own order."""
        return list(self._found)

    def load(self, sample: str) -> Sample:
        """Read and check one sample.

        Raises:
            UserError: what is wrong with it.
        """
        found = self._found.get(sample)
        if found is None:
            raise UserError(f"{self.root} has no sample {sample!r}")
        if found.kind is None:
            raise UserError(found.problem)
        _check_files(found.place.folder, self.root)
        loaded = found.kind.load(found.place, self.regions)
        try:
            loaded.task  # noqa: B018  # what breaks a rule of instructions is the sample's fault too
        except UserError as error:
            raise UserError(f"{found.place.folder}: {error}") from error
        return loaded

    @cached_property
    def _found(self) -> dict[str, Found]:
        found = {each.place.id: each for each in _find(self.root)}
        return {name: found[name] for name in sorted(found, key=natural)}


def open_folder(folder: Path, regions: RegionRule) -> Folder:
    """The samples below a folder, or the one that it is.

    Raises:
        UserError: no folder, or no sample in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is {'a file' if folder.exists() else 'no folder'}: name the folder of a data set")
    data = Folder(folder.resolve(), regions)
    if not data.ids:
        known = "; ".join(f"{kind.files} ({kind.name})" for kind in kinds())
        raise UserError(f"{folder} holds no sample: looked in it and in every folder below it for {known}")
    return data


def natural(name: str) -> tuple[list[list[str | int]], str]:
    """A key that sorts a2 before a10, and a folder before its neighbours that begin alike."""
    parts = [re.split(r"(\d+)", part) for part in name.split("/")]
    return [[int(bit) if i % 2 else bit for i, bit in enumerate(part)] for part in parts], name


def _find(root: Path) -> Iterator[Found]:
    """Every sample folder, and every place that cannot be looked into; hidden folders are passed over."""
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
        kind = next((kind for kind in known if kind.known(files)), None)
        if kind is not None:
            yield _entry(folder, root, kind)
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                # A link to a place inside is no second sample: it is found where it is.
                problem = _leads_out(path, root)
                if problem and (path.is_dir() or not path.exists()):
                    yield _entry(path, root, None, problem)
            elif entry.is_dir():
                waiting.append(path)


def _entry(folder: Path, root: Path, kind: Kind | None, problem: str = "") -> Found:
    parts = folder.relative_to(root).parts or (root.name,)
    given = "/".join(parts)
    # Bytes that are no UTF-8 cannot stand in records and reports: they are written out.
    name = os.fsencode(given).decode("utf-8", "backslashreplace")
    if name != given:
        kind, problem = None, "has a name that is not UTF-8: rename it"
    place = Place(name, name.rpartition("/")[0], folder)
    return Found(place, kind, f"{name} {problem}" if problem else "")


def _leads_out(link: Path, root: Path) -> str:
    """What is wrong with a link; "" when it stays below the root."""
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "is a link that leads nowhere: remove it, or copy what it should name"
    return "" if real.is_relative_to(root) else f"is a link out of the data, to {real}: copy here what it names"


def _check_files(folder: Path, root: Path) -> None:
    """Refuse a sample that has links out of the data, or files that are no files (reading a pipe would never end)."""
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            problem = _leads_out(path, root) if path.is_symlink() else ""
            if not problem and not (path.is_file() or path.is_dir()):
                problem = "is no regular file: copy what it should hold"
            if problem:
                raise UserError(f"{path} {problem}")
