"""How strong a LoRA is, where diffusers and peft say so beside its tensors: in metadata, or in a file of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from dragflow.backbones.lora_names import TRANSFORMER
from dragflow.backbones.tensors import reason, shown
from dragflow.core.errors import UserError

_METADATA = "lora_adapter_metadata"
"""The key of the file's metadata under which diffusers keeps the configuration of peft."""
_PEFT, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""A file that peft itself saves, and where it keeps its configuration: beside the file."""


@dataclass(frozen=True)
class Strength:
    """What the configuration of peft says of the layers of one network."""

    alpha: float | None = None
    patterns: Mapping[str, float] | None = None
    """Alphas of single layers, by the ends of their names; "^" before a name means the whole of it."""
    rank: int | None = None
    rooted: bool = False
    """Whether alpha is divided by the root of the rank (rsLoRA, arXiv 2312.03732)."""

    def scale(self, module: str, rank: int | None) -> float:
        """Alpha / rank of a layer, whose own rank counts if it has one; 1 where no alpha is said."""
        alpha, rank = self.alpha, rank or self.rank
        for pattern, value in (self.patterns or {}).items():
            name = pattern.replace("\\", "").removeprefix("^").removesuffix("$")
            if module == name or (not pattern.startswith("^") and module.endswith(f".{name}")):
                alpha = value
                break
        if alpha is None or rank is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.rooted else rank)


def config_of(path: Path) -> Path | None:
    """The configuration that peft saved beside a file, if it did."""
    config = path.parent / _CONFIG
    return config if path.name == _PEFT and config.is_file() else None


def read_strengths(path: Path) -> dict[str, Strength]:
    """What is said of each network of a pipeline that the file of a LoRA is for.

    Raises:
        UserError: it is damaged.
    """
    config, by_part = config_of(path), dict[str, dict[str, Any]]()
    try:
        if config is not None:
            by_part[TRANSFORMER] = json.loads(config.read_text(encoding="utf-8"))
        else:
            with safe_open(path, "pt") as file:
                said: dict[str, Any] = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
            for key, value in said.items():
                part, _, name = key.partition(".")
                by_part.setdefault(part, {})[name] = value
        return {part: _strength(said) for part, said in by_part.items()}
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"LoRA {path}: its configuration is damaged ({reason(error)}): save it again") from error


def _strength(said: Mapping[str, Any]) -> Strength:
    alpha = said.get("lora_alpha", said.get("alpha"))
    patterns: Mapping[str, Any] = said.get("alpha_pattern") or {}
    rank = said.get("r")
    if rank is not None and (not isinstance(rank, int) or rank < 1):
        raise ValueError(f"r is {shown(repr(rank))}")
    numbers = {"alpha": alpha, **patterns}
    if wrong := next((name for name, x in numbers.items() if x is not None and not _is_number(x)), None):
        raise ValueError(f"{shown(wrong)} is {shown(repr(numbers[wrong]))}")
    return Strength(alpha, {name: float(x) for name, x in patterns.items()}, rank, bool(said.get("use_rslora")))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
