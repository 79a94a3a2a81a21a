"""Which model the command line uses when none is named."""

from __future__ import annotations

import os

DEFAULT_MODEL = "black-forest-labs/FLUX.1-dev"


def chosen_model(given: str | None) -> str:
    """The model that was named, else that of $DRAGFLOW_MODEL, else FLUX.1-dev."""
    return given or os.environ.get("DRAGFLOW_MODEL") or DEFAULT_MODEL
