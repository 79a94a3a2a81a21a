"""Changing the list of the user's models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dragflow.core.errors import UserError
from dragflow.core.models import GGUF, ModelOptions
from dragflow.files.atomic import write_text
from dragflow.files.models import UserModels, given_options, models_path
from dragflow.files.toml import toml_value


def write_user_models(models: UserModels) -> None:
    """Keep the user's models.

    Raises:
        UserError: the file cannot be written.
    """
    path = models_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"folder {path.parent} cannot be made: {error.strerror}") from error
    lines = ["# Made by `dragflow model use` and `dragflow model add`.", f"version = {models.version}"]
    lines += [] if models.use is None else [f"use = {toml_value(models.use)}"]
    for name, options in models.models.items():
        given = given_options(options)
        lines += ["", f"[models.{name}]", *(f"{key} = {toml_value(value)}" for key, value in given.items())]
    write_text(path, "\n".join(lines) + "\n")


def placed(options: ModelOptions) -> ModelOptions:
    """Options whose files and folders are named in full, so that they are found from any folder."""
    subject = options.subject and replace(options.subject, **_absolute(options.subject))
    return replace(options, **_absolute(replace(options, subject=None)), subject=subject)


def _absolute(options: Any) -> dict[str, Any]:
    """The fields of options that name files or folders which exist, in full."""
    return {
        name: tuple(map(_full, value)) if isinstance(value, tuple) else _full(value)
        for name, value in given_options(options).items()
        if isinstance(value, str | tuple)
    }


def _full(text: str) -> str:
    """A text that is the path of what exists, or has one before or after a colon, with that in full."""
    if Path(text).exists():
        return str(Path(text).absolute())
    head, colon, tail = text.partition(":") if text.startswith(GGUF) else text.rpartition(":")
    if Path(head).exists() and head:
        return f"{Path(head).absolute()}{colon}{tail}"
    return f"{head}{colon}{Path(tail).absolute()}" if colon and tail and Path(tail).exists() else text
