"""The user's models: which one is used where none is named, and short names; a TOML file beside the configuration."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from dragflow.core.errors import UserError, shown
from dragflow.core.fields import STRICT, Name
from dragflow.core.models import BUILT_IN, NANO, VARIABLE, ModelOptions
from dragflow.files.cache import config_folder
from dragflow.files.texts import read_text

_SHORT = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"
NANO_SAYS = (
    "no model is chosen, so the built-in nano is used: small and trained on drawn scenes, it moves, turns and scales "
    "what is there, but redraws no photograph as a large model does; see `dragflow model list`, choose by `dragflow "
    "model use NAME`"
)
"""What the fallback cannot do, in one line."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UserModels:
    """What the user keeps of models."""

    __pydantic_config__ = STRICT

    version: Literal[1] = 1
    use: Name | None = None
    """The model that is used where none is named: a short name, built-in, hub id, folder or file."""
    models: dict[Name, ModelOptions] = field(default_factory=dict[str, ModelOptions])
    """By short name: a file, folder or hub id, and how it is loaded."""


def models_path() -> Path:
    """Where the user's models are kept, if there are any."""
    return config_folder("models.toml")


def user_models() -> UserModels:
    """The user's models.

    Raises:
        UserError: the file is damaged; names it, the key and the rule.
    """
    from pydantic import TypeAdapter  # not needed for `--help`

    from dragflow.files import schema

    path = models_path()
    if not path.exists():
        return UserModels()
    source = f"list of models {path}"
    try:
        data = schema.load_toml(read_text(path, "list of models"), source)
        found = schema.parse(TypeAdapter(UserModels), data, source)
        for name, options in found.models.items():
            _check_entry(name, options, source)
    except UserError as error:
        raise UserError(f"{error}; mend the file, or delete it") from error
    return found


def _check_entry(name: str, options: ModelOptions, source: str) -> None:
    try:
        check_short_name(name)
    except UserError as error:
        raise UserError(f"{source}: models: {error}") from error
    if options.model is None or re.fullmatch(_SHORT, options.model):
        raise UserError(f"{source}: models.{name}.model: input should be a path or a hub id")


def check_short_name(name: str) -> str:
    """A short name that a model may get.

    Raises:
        UserError: another model has it, or it could be a path or a hub id.
    """
    if name in BUILT_IN:
        raise UserError(f"{name} is built in: choose another short name")
    if not re.fullmatch(_SHORT, name):
        raise UserError(f"short name {shown(name)} may have letters, digits, '-' and '_' only, 40 at most")
    return name


def chosen_model() -> str | None:
    """The model that $DRAGFLOW_MODEL names, else the one that the user chose; None: neither.

    Raises:
        UserError: the file of the user's models is damaged.
    """
    return os.environ.get(VARIABLE) or user_models().use


def default_model() -> str:
    """The model that is used where none is named: `chosen_model`, else nano, of which a line is said once."""
    chosen = chosen_model()
    if chosen is None:
        _say_nano()
    return chosen or NANO


def settled_model(options: ModelOptions) -> ModelOptions:
    """Options that name a model in full: the default one where none is named, and what a short name stands for.

    What is given wins over what is kept with a short name.

    Raises:
        UserError: see `chosen_model`.
    """
    name = options.model or default_model()
    kept = user_models().models.get(name) if re.fullmatch(_SHORT, name) and name not in BUILT_IN else None
    if kept is None:
        return options if options.model == name else replace(options, model=name)
    given = {name: getattr(options, name) for name in given_options(options)}
    return replace(kept, **given | {"model": kept.model})


@cache
def _say_nano() -> None:
    _log.warning(NANO_SAYS)


def given_options(options: Any) -> dict[str, Any]:
    """The fields of options that differ from their defaults, as plain data."""
    changes = {field.name: getattr(options, field.name) for field in fields(options)}
    usual = {field.name: field.default for field in fields(options)}
    plain = {name: value for name, value in changes.items() if value != usual[name]}
    return {name: given_options(value) if name == "subject" else value for name, value in plain.items()}
