"""ComfyUI's `extra_model_paths.yaml`: further folders of models, by what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from dragflow.backbones.tensors import reason, shown
from dragflow.core.errors import UserError

EXTRA_PATHS = "extra_model_paths.yaml"
_KINDS = {
    **{kind: kind for kind in ("checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "diffusers")},
    "unet": "diffusion_models",
    "clip": "text_encoders",
}
"""Keys of folders that may hold parts of a model, older names among them; other keys are of no use here."""
_MOST_BYTES = 1 << 20


class Place(NamedTuple):
    """A folder of models."""

    kind: str
    """Name of what it holds; empty where its own folders say that."""
    folder: Path
    first: bool = False
    """Whether it is looked through before ComfyUI's own."""


def extra_places(file: Path) -> list[Place]:
    """The folders that a file names and that exist, the first to be looked through first.

    A section has keys of kinds, each with one folder in a line, relative to its `base_path`, which is relative to the
    file, as are all without one. `~` and variables of the environment count. `is_default` puts a section first.

    Raises:
        UserError: the file is damaged, or none of its folders exists.
    """
    named: list[Place] = []
    for title, section in _sections(file).items():
        if section is None:
            continue
        if not isinstance(section, dict):
            raise _damaged(file, f"{shown(str(title))} is not a section of keys")
        base = file.parent / _path(file, "base_path", section.get("base_path", ""))
        places = [
            Place(_KINDS[key], base / _path(file, key, line.strip()), bool(section.get("is_default")))
            for key, value in section.items()
            if key in _KINDS
            for line in _text(file, key, value or "").splitlines()
            if line.strip()
        ]
        named = [*places, *named] if section.get("is_default") else [*named, *places]
    found = [place for place in named if place.folder.is_dir()]
    if not found:
        raise UserError(f"`model_root` {file} names no folder of models that exists: correct its `base_path`")
    return found


def _sections(file: Path) -> dict[Any, Any]:
    import yaml

    try:
        with file.open("rb") as opened:
            found = yaml.safe_load(opened.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _damaged(file, reason(error)) from error
    if not isinstance(found, dict):
        raise _damaged(file, "it holds no sections")
    return found


def _text(file: Path, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _damaged(file, f"{key} is {shown(repr(value))}, not a path")
    return value


def _path(file: Path, key: str, value: Any) -> Path:
    return Path(os.path.expandvars(_text(file, key, value))).expanduser()


def _damaged(file: Path, why: str) -> UserError:
    return UserError(f"`model_root` {file} cannot be read ({why}): correct it, or name a folder")
