"""What the loaders of the metrics' models share: the model asked for, and parts that are whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from dragflow.backbones.parts import part_of
from dragflow.core.errors import UserError


def pick_model(given: str | None, variable: str, features: str, layout: str) -> str:
    """Hub id or folder of the model behind some features: the given one, or the environment's.

    Raises:
        UserError: neither, or it is no folder and no hub id.
    """
    model = given or os.environ.get(variable)
    if not model:
        raise UserError(f"features {features} need a model: name {layout} with --model, or in ${variable}")
    is_hub_id = model.count("/") == 1 and not model.startswith((".", "~", "/"))
    if not (Path(model).is_dir() or is_hub_id):
        raise UserError(f"model {model} of features {features} is no folder and no hub id: name {layout}")
    return model


def model_name(model: str) -> str:
    """A model's name without its owner or the folders above it, for tables."""
    return Path(model).resolve().name


def load_part(cls: Any, model: str, part: str, device: torch.device, **where: str) -> Any:
    """A network of a model, every weight of it from its file, on a device.

    The libraries only warn when weights are missing, and draw them at random.

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
    return network.to(device).eval().requires_grad_(False)
