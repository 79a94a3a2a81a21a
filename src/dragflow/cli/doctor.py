"""`dragflow doctor`: what is installed, which devices there are, what fits them, and whether a model can be dragged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from dragflow.cli import terminal
from dragflow.cli.options import ModelArgs, changed, refuse_unused
from dragflow.cli.spelling import spelled
from dragflow.core.errors import DragFlowError
from dragflow.core.models import BUILT_IN, FLUX1_DEV, NANO, ModelOptions

if TYPE_CHECKING:
    from rich.console import Console

    from dragflow.backbones.footprint import Footprint
    from dragflow.service.machine import Device, Need


def doctor(name: str | None = None, /, *, model: ModelArgs = ModelOptions()) -> int:
    """Report versions, devices, memory, what fits; and test a model, with a subject adapter, when they are named. Exits
    with 1 if something that it names will not work.

    Parameters
    ----------
    name
        Also load this model and test that gradients flow.
    """
    model = replace(model, model=name or model.model)
    if model.model is None:
        refuse_unused(
            [name for name in changed(model) if name != "memory"],
            "no model is loaded: name one, as in `dragflow doctor MODEL`",
        )
    console = terminal.console()
    _versions(console)
    found = _devices(console)
    works = _torch_works(console)
    try:
        _fits(console, _planned(console, model), found)
        if model.model is not None:
            _self_test(console, model)
    except DragFlowError as error:
        terminal.complain(f"error: {spelled(str(error))}")
        works = False
    return 0 if works else 1


def _torch_works(console: Console) -> bool:
    """Say what torch was built for, what is here, and how that is mended if it does not fit."""
    from dragflow.backbones.torch_build import accelerators, diagnose, torch_build

    told = diagnose(accelerators(), torch_build())
    console.print(told.text, soft_wrap=True)
    if told.fault is not None:
        mend = f": {told.command}" if told.command else "; see https://pytorch.org/get-started/locally"
        console.print(f"{told.fault}{mend}", style="red", soft_wrap=True)
    return told.fault is None


def _planned(console: Console, model: ModelOptions) -> ModelOptions:
    """The model whose memory is estimated; a built-in one fits anywhere, so that another is, if no option names it."""
    from dragflow.files.models import chosen_model

    chosen = chosen_model() or NANO
    if model.model is not None:
        return model
    console.print(f"used where no model is named: {chosen}")
    return replace(model, model=FLUX1_DEV if chosen in BUILT_IN else chosen)


def _versions(console: Console) -> None:
    from rich.table import Table

    from dragflow.service.machine import packages, system

    table = Table("package", "version", title=system())
    for name, version in packages().items():
        table.add_row(name, version or "not installed (optional: pip install 'dragflow[quant]')")
    console.print(table)


def _devices(console: Console) -> tuple[Device, ...]:
    """Show them."""
    from rich.table import Table

    from dragflow.service.machine import devices

    found = devices()
    table = Table("device", "what", "memory", title="Devices")
    for device in found:
        table.add_row(device.name, device.what, f"{device.memory / 2**30:.0f} GiB")
    console.print(table)
    free = shutil.disk_usage(".").free
    console.print(f"free disk space here: {free / 2**30:.0f} GiB")
    return found


def _fits(console: Console, model: ModelOptions, found: tuple[Device, ...]) -> None:
    """How `--memory` would load the model, and in detail what every preset needs of it; estimates."""
    from dragflow.backbones.memory import GIB, SIZE, plan
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.backbones.registry import footprint
    from dragflow.service.machine import usable_memory

    silence_libraries()
    sizes, best = footprint(model), usable_memory(found)
    given = model.memory if isinstance(model.memory, float) else None
    accelerated = (given is not None or len(found) > 1) and model.device != "cpu"
    chosen = plan(model, sizes, best if given is None else given * GIB, accelerated=accelerated)
    console.print(
        f"{sizes.model}: {sizes.transformer / 1e9:.3g} billion parameters in the transformer, "
        f"{sizes.others / 1e9:.3g} billion in text encoders and autoencoder",
    )
    asked, pixels = "auto" if given is None else f"{given:g}", f"{SIZE[1]} x {SIZE[0]} pixels"
    console.print(
        f"--memory {asked} loads it, for {pixels}, in {chosen}" if chosen.fits else f"it {chosen}, for {pixels}"
    )
    if terminal.is_verbose():
        _presets(console, sizes, best)


def _presets(console: Console, sizes: Footprint, memory: int) -> None:
    """Estimates for every preset: weights, and activations of the optimisation with checkpointing."""
    from rich.table import Table

    from dragflow.backbones.memory import SIZE
    from dragflow.service.machine import STORED, preset_needs

    title = f"{sizes.model} at {SIZE[1]} x {SIZE[0]}, estimated memory (with --offload)"
    table = Table("preset", *STORED, "K/V record", title=title)
    for needs in preset_needs(sizes, SIZE):
        cells = [_fit(need, memory) for need in needs.by_quantisation.values()]
        table.add_row(needs.preset, *cells, f"{needs.record / 2**30:.1f} GiB")
    console.print(table)
    console.print("The K/V record stays on the device if it takes half of the free memory or less.")


def _fit(need: Need, memory: int) -> str:
    fits = "fits" if need.whole < memory else "fits with --offload" if need.offloaded < memory else "too large"
    return f"{need.whole / 2**30:.0f} GiB ({need.offloaded / 2**30:.0f}): {fits}"


def _self_test(console: Console, model: ModelOptions) -> None:
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.editor.editor import Editor

    silence_libraries()
    editor = Editor.load(model)
    weights, spec = editor.backbone.weights, editor.backbone.spec
    console.print(
        f"{model.name}: {spec.family}, {len(spec.blocks)} blocks, {weights.options.dtype}, weights "
        f"{weights.fingerprint}"
    )
    console.print(
        f"taps {', '.join(spec.taps)}; K/V sites {', '.join(spec.kv_blocks)}: "
        + (f"chosen by {spec.swept}" if spec.swept else "its own, `dragflow model sweep` may find better ones")
    )
    console.print("gradients reach the latent: this model can be dragged", style="green")
    if spec.round_trip is not None:
        console.print(
            f"distilled to few steps: a small picture that is inverted and sampled back differs by "
            f"{100 * spec.round_trip:.1f} %; its preset is {spec.preset}"
        )
    if editor.adapter is not None:
        record = editor.adapter.record
        console.print(
            f"subject adapter {record.options.adapter}, weights {record.fingerprint}: it fits this model",
            style="green",
        )
