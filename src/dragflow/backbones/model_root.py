"""Folders of model files as ComfyUI, InvokeAI and others keep them: which files there are, told by their headers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dragflow.backbones.checkpoints.header import GGUF, SAFETENSORS
from dragflow.backbones.checkpoints.recognise import Part, Recognised, recognise
from dragflow.backbones.extra_paths import EXTRA_PATHS, Place, extra_places
from dragflow.backbones.hub import INDEX
from dragflow.core.errors import UserError

_MODELS = "models"
"""Of ComfyUI's and InvokeAI's folder, the one that holds models."""
_YAML = (".yaml", ".yml")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True)
class Held:
    """A file in a model root."""

    path: Path
    name: str
    """Relative to where it was found, for people."""
    found: Recognised | None
    """What it is; None if it is of no use."""
    refused: str = ""
    """Why it is of no use."""


@dataclass(frozen=True)
class ModelRoot:
    """What model roots hold."""

    files: tuple[Held, ...]
    pipelines: tuple[Path, ...]
    """Folders in diffusers layout."""

    def having(self, network: str) -> list[tuple[Path, Part]]:
        """The files that are this network alone, and that a part of a pipeline is read from."""
        return [
            (held.path, held.found.parts[0])
            for held in self.files
            if held.found is not None and held.path.suffix.lower() in SAFETENSORS
            if len(held.found.parts) == 1 and held.found.parts[0].network == network
        ]


def is_root(path: Path) -> bool:
    """Whether this is a folder, or ComfyUI's file of folders."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() in _YAML)


def read_roots(names: Iterable[str]) -> ModelRoot:
    """What model roots hold, each file once, whatever links lead to it.

    Raises:
        UserError: a name is neither a folder nor ComfyUI's file of folders, or that file is damaged.
    """
    files: dict[Path, Held] = {}
    pipelines: dict[Path, None] = {}
    for path, name in (each for root in names for each in _found(root)):
        if path.is_dir():
            pipelines.setdefault(path)
        elif (real := path.resolve()) not in files:
            files[real] = _told(path, name)
    return ModelRoot(tuple(files.values()), tuple(pipelines))


def pipelines_in(names: Iterable[str]) -> list[Path]:
    """The folders in diffusers layout in model roots; no file is read.

    Raises:
        UserError: see `read_roots`.
    """
    return list(dict.fromkeys(path for root in names for path, _ in _found(root) if path.is_dir()))


def _told(path: Path, name: str) -> Held:
    if _SHARD.search(path.stem):
        why = "one of several files of a network, which are read as a folder in diffusers layout alone"
        return Held(path, name, None, why)
    try:
        return Held(path, name, recognise(path))
    except UserError as error:  # of another program, or of none
        return Held(path, name, None, str(error))


def _found(root: str) -> Iterator[tuple[Path, str]]:
    """Files of models and folders in diffusers layout in a model root, with their names in it.

    As in ComfyUI, of two files of one name the first counts, where several folders are for one kind of models.
    """
    seen: set[str] = set()
    for place in _places(Path(root)):
        for path in _walked(place.folder):
            name = "/".join((*([place.kind] if place.kind else []), *path.relative_to(place.folder).parts))
            if name not in seen:
                seen.add(name)
                yield path, name


def _places(root: Path) -> list[Place]:
    """The folders of a model root, those first that are looked through first."""
    if not is_root(root):
        raise UserError(
            f"`model_root` {root} is neither a folder nor ComfyUI's {EXTRA_PATHS}: name the folder of ComfyUI or "
            "InvokeAI, or one of model files"
        )
    if root.is_file():
        return extra_places(root)
    extra = extra_places(root / EXTRA_PATHS) if (root / EXTRA_PATHS).is_file() else []
    own = Place("", root / _MODELS if (root / _MODELS).is_dir() else root)
    return [*(each for each in extra if each.first), own, *(each for each in extra if not each.first)]


def _walked(top: Path) -> Iterator[Path]:
    """Files of models below a folder, and folders in diffusers layout, which are not looked into; follows links."""
    entered: set[str] = set()
    for place, folders, names in os.walk(top, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:  # a link to a folder above
            folders.clear()
            continue
        entered.add(real)
        if INDEX in names:
            folders.clear()
            yield Path(place)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in (*SAFETENSORS, *GGUF))
