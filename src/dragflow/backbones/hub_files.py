"""Which files of a repository belong to a model: those of its parts, in one variant, as safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_SETTINGS = (".json", ".txt", ".model", ".jinja")
"""Configurations, and what tokenizers are made of."""
_WEIGHTS = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model)(\.(?P<before>\w+))?(?P<shard>-\d+-of-\d+)?(\.(?P<after>\w+))?\.safetensors"
)
_SHARDED = re.compile(r"(?P<stem>diffusion_pytorch_model|model)\.safetensors\.index(\.(?P<variant>\w+))?\.json")


def wanted(names: Iterable[str], parts: Sequence[str], without_weights: Sequence[str] = ()) -> list[str]:
    """The files of the parts of a model, out of all of a repository: no pickles, no second variant, no pictures.

    Args:
        names: paths in the repository.
        parts: folders; "" is the top of the repository.
        without_weights: those of which only the settings are needed.
    """
    every, found = sorted(set(names)), list[str]()
    for part in parts:
        place = f"{part}/" if part else ""
        here = [name.removeprefix(place) for name in every if name.startswith(place)]
        here = [name for name in here if "/" not in name]
        files = [name for name in here if name.endswith(_SETTINGS) and ".index." not in name]
        files += [] if part in without_weights else _weights(here)
        found += [f"{place}{name}" for name in files]
    return found


def variant_of(folder: Path) -> str | None:
    """The variant that the weights in a folder have, as "fp16"; None for the plain one, which is taken where it is."""
    chosen = _weights(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else []
    return next((_variant(name) or None for name in chosen), None)


def absent(folder: Path, parts: Sequence[str], without_weights: Sequence[str] = ()) -> str | None:
    """A file that a model on this disk lacks; None if all that can be known is there."""
    for part in parts:
        place = folder / part
        names = sorted(path.name for path in place.iterdir() if path.exists()) if place.is_dir() else []
        prefix = f"{part}/" if part else ""
        if not any(name.endswith(_SETTINGS) for name in names):
            return prefix or "config.json"
        if part in without_weights or "config.json" not in names:
            continue
        weights = _weights(names)
        indexes = [name for name in weights if _SHARDED.fullmatch(name)]
        needed = [shard for name in indexes for shard in _shards(place / name)]
        lacking = [name for name in needed if name not in names]
        if lacking or not weights:
            return f"{prefix}{(lacking or ['*.safetensors'])[0]}"
    return None


def _weights(names: Sequence[str]) -> list[str]:
    """The weights among the files of one folder: the plain variant if it is there, in the form that is read first."""
    files = [name for name in names if _WEIGHTS.fullmatch(name) or _SHARDED.fullmatch(name)]
    usable = {_variant(name) for name in files if name.endswith(".safetensors")}
    variant = "" if "" in usable else min(usable, key=lambda name: (name != "fp16", name), default="")
    files = [name for name in files if _variant(name) == variant]
    whole = [name for name in files if (match := _WEIGHTS.fullmatch(name)) and not match["shard"]]
    sharded = [name for name in files if name not in whole]
    # diffusers reads an index before a whole file, transformers the other way round
    first = sharded if any(name.startswith("diffusion_") for name in sharded) else whole
    return first or sharded or whole


def _variant(name: str) -> str:
    if match := _WEIGHTS.fullmatch(name):
        return match["before"] or match["after"] or ""
    match = _SHARDED.fullmatch(name)
    return (match and match["variant"]) or ""


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [index.name]  # damaged: the part's own error says more
