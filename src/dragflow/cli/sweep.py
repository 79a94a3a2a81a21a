"""`dragflow model sweep`: taps and K/V sites found by measuring, and kept for whenever the model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Parameter

from dragflow.cli.options import ConfigArgs, ConfigOptions, ForceArg, ModelArgs, changed, refuse_unused
from dragflow.cli.terminal import console, say
from dragflow.core.fields import AtLeastOne
from dragflow.core.models import ModelOptions

T = TypeVar("T")
SCENES = "world:24@5000"
"""Scenes from 5000 on, so that none of a benchmark's is chosen by."""


def sweep(
    name: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    data: str = SCENES,
    only: Literal["taps", "sites"] | None = None,
    config: ConfigArgs = ConfigOptions(),
    model: ModelArgs = ModelOptions(),
    devices: tuple[str, ...] = (),
    processes: AtLeastOne = 1,
    report: tuple[Path, ...] = (),
    force: ForceArg = False,
) -> None:
    """Measure every tap and every K/V site of a model, and keep what does best for whenever it is loaded.

    A sweep that was stopped is resumed by the same command.

    Parameters
    ----------
    name
        The model, as for `edit`.
    data
        `world:COUNT@FIRST` of the built-in scenes, or a folder of samples whose true picture is known; every other one
        is kept for comparing what was chosen with the model's own.
    only
        Sweep the taps alone, or the sites.
    devices
        One process on each of these devices. Repeatable.
    processes
        Processes of one thread each, on the CPU.
    report
        Also write the tables (.md), or the figure (.svg, .png). Repeatable.
    """
    from dragflow.backbones.quiet import silence_libraries
    from dragflow.bench.sweep.report import check_report, write_report
    from dragflow.bench.sweep.run import Asked
    from dragflow.bench.sweep.run import sweep as run_sweep
    from dragflow.bench.sweep.trials import HALVES
    from dragflow.files.outputs import check_outputs, named_files
    from dragflow.files.sweeps import write_sweep
    from dragflow.service.executors import executor

    model = replace(model, model=name)
    extras = [key for key in changed(model) if key.partition(".")[0] in ("lora", "bridge", "subject", "unswept")]
    refuse_unused(extras, "a sweep is about the model itself")
    for path in report:
        check_report(path)
    check_outputs(*report, inputs=named_files(model, data, config.preset), force=force)
    seed = [] if config.seed is None else [f"seed={config.seed}"]
    asked = Asked(model, data, HALVES if only is None else (only,), config.preset, (*config.set, *seed))
    silence_libraries()
    with executor(devices, processes, silence_libraries) as workers:
        found = run_sweep(asked, workers, _bar, force=force)
    place = write_sweep(found)
    for path in report:
        write_report(found, path)
    for half in asked.halves:
        chosen = getattr(found, half)
        say(f"{half}: {', '.join(chosen.chosen)} ({chosen.reason})")
    say(f"{place}: used wherever these weights are loaded; delete it to have the model's own again")


def _bar(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    from rich.progress import track

    yield from track(items, title, total, console=console(stderr=True))
