"""What this machine has, and what a model needs of it: packages, devices, and estimates of memory for every preset."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from dragflow.backbones.memory import STORED_BYTES, needed
from dragflow.core.config import EditConfig
from dragflow.core.models import ModelOptions
from dragflow.files.presets import load_preset, preset_names

if TYPE_CHECKING:
    from dragflow.backbones.footprint import Footprint

PACKAGES = (
    "dragflow",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "peft",
    "torchao",
    "gguf",
    "opencv-python-headless",
)
"""Those whose versions matter for an edit; torchao and gguf are optional."""
STORED = {"none (bfloat16)": None, **{kind: kind for kind in STORED_BYTES}, "gguf Q8": "gguf:FILE"}
"""What is estimated, and the option for it."""


@dataclass(frozen=True)
class Device:
    """Where a model can run."""

    name: str
    """As torch names it."""
    what: str
    memory: int
    """Bytes in all."""


@dataclass(frozen=True)
class Need:
    """Bytes of memory that an edit needs, an estimate."""

    whole: float
    """With everything on the device."""
    offloaded: float
    """With text encoders and autoencoder in main memory while they are idle."""


@dataclass(frozen=True)
class PresetNeeds:
    """What one preset needs of a model."""

    preset: str
    by_quantisation: dict[str, Need]
    record: int
    """Bytes of recorded keys and values, at the K/V sites or of all tokens, which come on top."""


def packages() -> dict[str, str | None]:
    """Versions of `PACKAGES`; None where one is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def system() -> str:
    """Python and the operating system, in words."""
    return f"Python {platform.python_version()} on {platform.platform()}"


def devices() -> tuple[Device, ...]:
    """The CPU, and every GPU."""
    import psutil
    import torch

    found = [Device("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads", psutil.virtual_memory().total)]
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        found.append(Device(f"cuda:{i}", properties.name, properties.total_memory))
    return tuple(found)


def usable_memory(found: tuple[Device, ...]) -> int:
    """Bytes of the largest GPU, or of main memory where there is none."""
    return max(device.memory for device in (found[1:] or found))


def preset_needs(footprint: Footprint, size: tuple[int, int]) -> tuple[PresetNeeds, ...]:
    """What every preset needs of a model, for a picture of (h, w) pixels."""
    return tuple(_needs(name, load_preset(name), footprint, size) for name in preset_names())


def _needs(preset: str, config: EditConfig, footprint: Footprint, size: tuple[int, int]) -> PresetNeeds:
    dragged = config.optimise.moving + config.optimise.refining > 0
    calls = config.inversion.calls(config.inversion.steps - config.inversion.skip)

    def need(kind: str | None, *, offload: bool) -> float:
        options = ModelOptions(dtype="bfloat16", quantize=kind, checkpointing=True, offload=offload)
        return needed(options, footprint, size, dragged=dragged)

    needs = {name: Need(need(kind, offload=False), need(kind, offload=True)) for name, kind in STORED.items()}
    record = calls * footprint.kv_bytes(size) if config.injects else 0
    if config.records:
        record += math.ceil(calls / config.tokens.every) * footprint.record_bytes(size)
    return PresetNeeds(preset, needs, record)
