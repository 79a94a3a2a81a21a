"""What the loaders of the metrics' models share: which model is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from dragflow.core.errors import UserError


def pick_model(given: str | None, variable: str, features: str, layout: str) -> str:
    """Hub id or folder of the model behind some features: the given one, or the environment's.

    Raises:
        UserError: neither, or it is no folder and no hub id.
    """
    model = given or os.environ.get(variable)
    if not model:
        raise UserError(f"features {features} need a model: name {layout} as `model`, or in ${variable}")
    is_hub_id = model.count("/") == 1 and not model.startswith((".", "~", "/"))
    if not (Path(model).is_dir() or is_hub_id):
        raise UserError(f"model {model} of features {features} is no folder and no hub id: name {layout}")
    return model


def model_name(model: str) -> str:
    """A model's name without its owner or the folders above it, for tables."""
    return Path(model).resolve().name
