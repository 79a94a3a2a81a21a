"""Which model and which identity adapter the command line uses."""

from __future__ import annotations

import os
from dataclasses import replace

from dragflow.core.errors import UserError
from dragflow.core.result import IdentityOptions

DEFAULT_MODEL = "black-forest-labs/FLUX.1-dev"


def chosen_model(given: str | None) -> str:
    """The model that was named, else that of $DRAGFLOW_MODEL, else FLUX.1-dev."""
    return given or os.environ.get("DRAGFLOW_MODEL") or DEFAULT_MODEL


def chosen_identity(
    recorded: IdentityOptions | None,
    adapter: str | None,
    weights: str | None,
    siglip: str | None,
    dinov2: str | None,
) -> IdentityOptions | None:
    """The identity adapter that was named, or that of a recipe with what was named in place of its parts.

    Raises:
        UserError: an adapter without weights, or parts without an adapter; an unknown one, no such file.
    """
    parts = {"weights": weights, "siglip": siglip, "dinov2": dinov2}
    given = {name: part for name, part in parts.items() if part is not None}
    if recorded is None and adapter is None:
        if given:
            raise UserError(f"--identity-{next(iter(given))} is for an adapter: name it with --identity")
        return None
    if recorded is None and weights is None:
        raise UserError(f"--identity {adapter} needs its checkpoint: name it with --identity-weights FILE")
    options = replace(recorded or IdentityOptions(str(adapter), str(weights)), **given)

    from dragflow.identity.registry import check_options

    check_options(options)
    return options
