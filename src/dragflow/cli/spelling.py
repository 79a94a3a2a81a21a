"""How the command line spells the options that errors name: `subject.weights` is --subject.weights here."""

from __future__ import annotations

import re
from dataclasses import fields

from dragflow.cli.options import AreaOptions, ChoiceOptions, ConfigOptions, TaskOptions
from dragflow.core.models import ModelOptions, SubjectOptions
from dragflow.intent.options import ProviderOptions
from dragflow.lora.config import LoraConfig
from dragflow.train.config import LoraBridgeConfig

_PREFIXES = {
    "": (LoraConfig, LoraBridgeConfig, ModelOptions, AreaOptions, TaskOptions, ConfigOptions, ChoiceOptions),
    "subject.": (SubjectOptions,),
    "provider.": (ProviderOptions,),
}
_MASKS = ("mask.invert", "mask.label", "area.invert", "area.label")
"""Choices about one mask: fields of its own in Python and in a file, options beside it here."""
_OTHERS = (
    "method",
    "host",
    "port",
    "cache",
    "cache_size",
    "label",
    "cut",
    "behind",
    "base",
    "statistic",
    "gallery",
    "regions",
    "devices",
    "processes",
    "root",
    "retry",
    "watch",
    "ray",
    "features",
    "dift",
    "lpips",
    "data",
    "resume",
    "force",
    "output",
    "overlay",
    "sidecar",
    "what",
    "names",
    "edit",
    "result",
    "trace",
    "trust",
    "pairs",
    "scenes",
)


def spelled(text: str) -> str:
    """A sentence with every option in backquotes written as it is typed; what else is in backquotes stays."""
    return re.sub(r"`([a-z][a-z0-9_.]*)`", lambda m: flag(m[1]) if m[1] in _names() else m[0], text)


def flag(name: str) -> str:
    """An option as it is typed."""
    return f"--{(name.replace('.', '-') if name in _MASKS else name).replace('_', '-')}"


def _names() -> set[str]:
    typed = {f"{prefix}{field.name}" for prefix, kinds in _PREFIXES.items() for kind in kinds for field in fields(kind)}
    return typed | set(_OTHERS) | set(_MASKS)
