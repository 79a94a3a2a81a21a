"""What a server offers and allows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from dragflow.core.checked import Checked
from dragflow.core.errors import UserError, shown
from dragflow.core.fields import Name
from dragflow.core.models import ModelOptions
from dragflow.files.models import default_model

TOKEN_VARIABLE = "DRAGFLOW_TOKEN"
"""Environment variable with the token that requests must carry; the only place where it is read."""
LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""

Bytes = Annotated[int, Interval(ge=1024, le=2**34)]
Seconds = Annotated[float, Interval(ge=1, le=7 * 24 * 3600)]


@dataclass(frozen=True)
class ServerSettings(Checked, called="`{}`"):
    """Models, limits and how long things are kept; the same for every request."""

    models: tuple[ModelOptions, ...] = ()
    """What requests may ask for by name; the first is the default. None: previews only."""
    upload_bytes: Bytes = 128 * 2**20
    """Most bytes of one request."""
    kept_bytes: Bytes = 2**30
    """Most bytes of the pictures that are kept, decoded; beyond, the oldest one goes."""
    keep_seconds: Seconds = 3600
    """How long an uploaded picture is kept after its last use, and a result after its end."""
    preview_seconds: Annotated[float, Interval(ge=0, le=3600)] = 2
    """Least seconds between two decoded previews of a running edit; 0 for none."""
    token: Name | None = field(default=None, repr=False)
    """What `Authorization: Bearer` must say; None: nothing, which only this machine may be offered."""
    hosts: tuple[Name, ...] = LOCAL
    """Names under which the server may be addressed while no token is needed."""

    def __post_init__(self) -> None:
        """Refuse two models of one name.

        Raises:
            UserError: for that, or a value that breaks its rule.
        """
        super().__post_init__()
        names = [public_name(model) for model in self.models]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UserError(
                f"two models are called {', '.join(sorted(twice))}: serve one of them, or rename its folder"
            )

    def model(self, name: str | None) -> ModelOptions:
        """The model that a request names, or the default.

        Raises:
            UserError: it is not among those that are served.
        """
        names = {public_name(model): model for model in self.models}
        if not names:
            raise UserError("this server has no model: it makes previews only")
        if name is not None and name not in names:
            raise UserError(f"model {shown(name)} is not served here: choose one of {', '.join(names)}")
        return self.models[0] if name is None else names[name]


def token_of_environment() -> str | None:
    """The token of this server; None where there is none.

    Raises:
        UserError: the variable is there, and empty.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if token == "":
        raise UserError(f"${TOKEN_VARIABLE} is empty: set it to a token, or unset it")
    return token


def public_name(model: ModelOptions) -> str:
    """How requests call a model: its name or short name, but of a folder or file only the last part."""
    called = model.model or default_model()
    name = Path(called)
    return name.name if name.exists() or name.is_absolute() else called


def models_of(also: Sequence[str], options: ModelOptions) -> tuple[ModelOptions, ...]:
    """The model of options, the default one where they name none, and further ones, all loaded in the same way."""
    names = (options.model or default_model(), *also)
    return tuple(replace(options, model=name) for name in names)
