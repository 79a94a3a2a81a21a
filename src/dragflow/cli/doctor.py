"""`dragflow doctor`: what is installed, which devices there are, what fits them, and whether a model can be dragged."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from dragflow.cli.options import ModelArgs
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions

if TYPE_CHECKING:
    from rich.console import Console

_PACKAGES = (
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
_BILLION = 1e9
_FLUX_TRANSFORMER, _FLUX_REST = 11.9 * _BILLION, 4.97 * _BILLION
"""Parameters of FLUX.1-dev: the transformer; T5-XXL encoder, CLIP and autoencoder."""
_FLUX_KV = 2 * 13 * 4096 * 3072 * 2
"""Bytes of one recorded model call: keys and values, 13 blocks, 4096 image tokens of width 3072, bfloat16."""
_BYTES = {"none (bfloat16)": 2.0, "int8": 1.0, "fp8": 1.0, "layerwise-fp8": 1.0, "gguf Q8": 1.07}


def doctor(name: str | None = None, /, *, model: ModelArgs = ModelOptions()) -> None:
    """Report versions, devices, memory, what fits; and test a model, with a subject adapter, when they are named.

    Parameters
    ----------
    name
        Also load this model and test that gradients flow.
    """
    from rich.console import Console

    model = replace(model, model=name or model.model)
    if model.subject is not None and model.model is None:
        raise UserError(
            f"`subject.adapter` {model.subject.adapter} is loaded beside a model: name one, as in `dragflow doctor "
            "MODEL`"
        )
    console = Console()
    _versions(console)
    memory = _devices(console)
    _fits(console, memory)
    if model.model is not None:
        _self_test(console, model)


def _versions(console: Console) -> None:
    from rich.table import Table

    table = Table("package", "version", title=f"Python {platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        try:
            table.add_row(name, version(name))
        except PackageNotFoundError:
            table.add_row(name, "not installed (optional: pip install 'dragflow[quant]')")
    console.print(table)


def _devices(console: Console) -> float:
    """Show them; gives the memory in bytes of the best one."""
    import os

    import psutil
    import torch
    from rich.table import Table

    main = psutil.virtual_memory().total
    table = Table("device", "what", "memory", title="Devices")
    table.add_row("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads", f"{main / 2**30:.0f} GiB")
    best = float(main)
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        best = float(properties.total_memory)
        table.add_row(f"cuda:{i}", properties.name, f"{best / 2**30:.0f} GiB")
    console.print(table)
    free = shutil.disk_usage(".").free
    console.print(f"free disk space here: {free / 2**30:.0f} GiB", highlight=False)
    return best


def _fits(console: Console, memory: float) -> None:
    """Estimates for FLUX.1-dev at 1024 x 1024: weights, and activations of the optimisation with checkpointing."""
    from rich.table import Table

    from dragflow.files.presets import load_preset, preset_names

    table = Table("preset", *_BYTES, "K/V record", title="FLUX.1-dev at 1024 x 1024, estimated memory (with --offload)")
    for preset in preset_names():
        config = load_preset(preset)
        optimises = config.optimise.moving + config.optimise.refining > 0
        calls = config.inversion.steps - config.inversion.skip + 1
        record = 0.0 if config.kv.rule == "none" else calls * _FLUX_KV
        cells = []
        for size in _BYTES.values():
            alone = _FLUX_TRANSFORMER * size + (3.5 if optimises else 1.5) * 2**30
            offloaded, whole = max(alone, _FLUX_REST * 2), alone + _FLUX_REST * 2
            fits = "fits" if whole < memory else "fits with --offload" if offloaded < memory else "too large"
            cells.append(f"{whole / 2**30:.0f} GiB ({offloaded / 2**30:.0f}): {fits}")
        table.add_row(preset, *cells, f"{record / 2**30:.1f} GiB")
    console.print(table)
    console.print("The K/V record stays on the device if it takes half of the free memory or less.")


def _self_test(console: Console, model: ModelOptions) -> None:
    from dragflow.cli.progress import silence_libraries
    from dragflow.editor.editor import Editor

    silence_libraries()
    editor = Editor.load(model)
    weights, spec = editor.backbone.weights, editor.backbone.spec
    console.print(
        f"{model.name}: {spec.family}, {len(spec.blocks)} blocks, {weights.options.dtype}, weights "
        f"{weights.fingerprint}"
    )
    console.print("gradients reach the latent: this model can be dragged", style="green")
    if editor.adapter is not None:
        record = editor.adapter.record
        console.print(
            f"subject adapter {record.options.adapter}, weights {record.fingerprint}: it fits this model",
            style="green",
        )
