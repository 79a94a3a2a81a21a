"""Pairs of preview and truth in a folder: shards of a fixed size, each a ZIP file of PNG pictures, and a manifest.

A pair's picture has four quarters: the source, the preview, the truth, and the masks as red, green and blue. Which
pairs a shard holds follows from its name alone, and it is there whole or not at all; so any number of processes may add
shards, at any time, and a training may read those that are there.
"""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

import dragflow
from dragflow.core.errors import UserError, shown
from dragflow.files import schema
from dragflow.files.atomic import write_bytes, write_text
from dragflow.files.texts import read_text
from dragflow.files.zips import zipped
from dragflow.service.executors import executor
from dragflow.train import drags
from dragflow.train.drags import Pair

FORMAT = 1
SHARD = 64
"""Pairs in a shard, those of whole scenes."""
MANIFEST = "manifest.json"


class Manifest(schema.Strict):
    """What a folder of pairs holds, and what made them."""

    format: Literal[1] = FORMAT
    size: int
    """Side of the pictures."""
    split: str
    """Of the sprites and photographs in them: train or test."""
    commits: tuple[str, ...]
    """Commits of the package that added shards, in that order."""


@dataclass(frozen=True)
class Shard:
    """One shard to be made."""

    folder: Path
    first: int
    """Number of its first pair."""
    size: int
    split: str

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"pairs-{self.first:07d}.zip"


def lacking(folder: Path, count: int, size: int = 272, split: str = "train") -> list[Shard]:
    """The shards that a folder lacks of the pairs 0 to `count`; its manifest then names the commit that adds them.

    Raises:
        UserError: the folder holds pairs of another format, size or split.
    """
    _note(folder, size, split)
    shards = (Shard(folder, first, size, split) for first in range(0, count, SHARD))
    return [shard for shard in shards if not shard.path.exists()]


def make(shards: Iterable[Shard], processes: int = 1) -> Iterator[Path]:
    """Make shards, and give each one's file when it is done."""
    with executor(processes=processes, setup=one_thread) as workers:
        yield from workers.run(write, shards)


def write(shard: Shard, device: str | None = None) -> Path:
    """Make one shard; it needs no device."""
    files: dict[str, bytes] = {}
    for scene in range(shard.first // drags.TARGETS, (shard.first + SHARD) // drags.TARGETS):
        for i, pair in enumerate(drags.pairs_of(scene, shard.size, shard.split)):
            files[_name(scene * drags.TARGETS + i)] = _encoded(pair)
    write_bytes(shard.path, zipped(files))
    return shard.path


class Pairs:
    """The pairs of a folder, by their place among those that are there."""

    def __init__(self, folder: Path) -> None:
        """Open a folder.

        Raises:
            UserError: it has no pairs, or they are of another format.
        """
        self.folder, self.manifest = folder, read_manifest(folder)
        self.refresh()
        if not self.shards:
            raise UserError(f"{folder} holds no pairs yet: make some first")

    def refresh(self) -> None:
        """Take in the shards that were added."""
        self.shards = tuple(sorted(self.folder.glob("pairs-*.zip")))

    def __len__(self) -> int:
        return SHARD * len(self.shards)

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> Pair:
        """The pairs at these places, as one `Pair` of arrays (b, H, W, 3)."""
        return Pair.stacked([self._read(int(place)) for place in places])

    def _read(self, place: int) -> Pair:
        shard = self.shards[place // SHARD]
        with zipfile.ZipFile(shard) as file:
            return _decoded(file.read(sorted(file.namelist())[place % SHARD]))


class Scenes:
    """The pairs of the first scenes of the world, made when they are first taken, and kept compressed in memory."""

    def __init__(self, count: int, size: int, split: str = "train") -> None:
        """Of so many scenes, with pictures (size, size, 3); see `drags.pairs_of`."""
        self.count, self.size, self.split = count, size, split
        self._made: dict[int, list[bytes]] = {}

    def __len__(self) -> int:
        return drags.TARGETS * self.count

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> Pair:
        """The pairs at these places, as one `Pair` of arrays (b, H, W, 3)."""
        return Pair.stacked([_decoded(self._scene(int(i) // drags.TARGETS)[int(i) % drags.TARGETS]) for i in places])

    def _scene(self, number: int) -> list[bytes]:
        if number not in self._made:
            made = drags.pairs_of(number, self.size, self.split, "world")
            self._made[number] = [_encoded(pair) for pair in made]
        return self._made[number]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        UserError: there is none, or it is of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{folder} has no {MANIFEST}: make pairs there first, with `python -m dragflow.train pairs`")
    found = schema.load_json(read_text(path, "manifest"), str(path))
    made = found.get("format") if isinstance(found, dict) else None
    if made != FORMAT:
        raise UserError(f"{path} is of format {shown(made)}, this version reads {FORMAT}: make the pairs again")
    return schema.parse(TypeAdapter(Manifest), found, str(path))


def _note(folder: Path, size: int, split: str) -> None:
    """Write the manifest, or the commit that adds shards into it."""
    own = commit()
    commits = (own,)
    if (folder / MANIFEST).exists():
        found = read_manifest(folder)
        if (found.size, found.split) != (size, split):
            raise UserError(
                f"{folder} holds pairs of {found.size} pixels of the split {found.split}, not of {size} of {split}: "
                "name another folder"
            )
        commits = (*(one for one in found.commits if one != own), own)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(size=size, split=split, commits=commits)
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")


def commit() -> str:
    """The last commit that changed the package, or its version where it is not a checkout."""
    command = ["git", "rev-list", "-1", "HEAD", "."]
    try:
        done = subprocess.run(command, cwd=Path(dragflow.__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return version("dragflow")
    return done.stdout.strip()[:12] or version("dragflow")


def one_thread() -> None:
    """Let OpenCV compute in the calling thread alone: several processes with threads each slow each other down."""
    cv2.setNumThreads(1)


def _name(number: int) -> str:
    return f"{number:07d}.png"


def _encoded(pair: Pair) -> bytes:
    top, bottom = (np.concatenate(row, axis=1) for row in ((pair.source, pair.preview), (pair.truth, pair.masks)))
    done, data = cv2.imencode(".png", np.concatenate([top, bottom])[..., ::-1])
    if not done:
        raise OSError("a picture could not be encoded as PNG")
    return data.tobytes()


def _decoded(data: bytes) -> Pair:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[..., ::-1]
    h, w = pixels.shape[0] // 2, pixels.shape[1] // 2
    return Pair(pixels[:h, :w], pixels[:h, w:], pixels[h:, :w], pixels[h:, w:])
