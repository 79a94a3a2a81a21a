"""A model that was found on disk, and its networks read from safetensors: whole, or refused with the part named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions


@dataclass(frozen=True)
class Source:
    """A model that was found: what was asked for, and where it is."""

    options: ModelOptions
    folder: Path
    """In diffusers layout."""
    revision: str | None
    """Commit of the hub snapshot; None for a folder."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Further files with weights: the transformer's, where it comes as GGUF."""
        return () if self.options.gguf is None else (Path(self.options.gguf),)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep progress bars and notes of the model libraries off the terminal for a while."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level, shown in zip(libraries, levels, bars, strict=True):
            library.set_verbosity(level)
            if shown:
                library.enable_progress_bar()


@contextmanager
def part_of(model: str, part: str) -> Iterator[None]:
    """Say which part of a model could not be loaded; weights are read from safetensors only, never from pickles.

    Raises:
        UserError: instead of what the library raised.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"model {model}: its {part} cannot be loaded ({error}): download or export the model again, as safetensors"
        ) from error


def load_part(cls: Any, model: str, part: str, device: torch.device, **where: Any) -> Any:
    """A network of a model, every weight of it from its file, on a device and ready to be used.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    return read_part(cls, model, part, **where).to(device).eval().requires_grad_(False)


def read_part(cls: Any, model: str, part: str, **where: Any) -> Any:
    """A network of a model as the library gives it, every weight of it from its file.

    The libraries only warn when weights are missing, and draw them at random or leave them without values.

    Raises:
        UserError: it cannot be loaded, or weights are missing.
    """
    with part_of(model, part):
        network, info = cls.from_pretrained(model, use_safetensors=True, output_loading_info=True, **where)
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"model {model}: its {part} has no {missing[0]} ({len(missing)} tensors are missing): "
            f"a {cls.__name__} is needed"
        )
    return network


def class_of(config: Path) -> str:
    """The class that the configuration of a network of diffusers names.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return str(json.loads(config.read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config} is missing or damaged: download or export the model again") from error
