"""A whole sweep: everything tried alone on half of the scenes, what is chosen compared on the other half, the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from dragflow.backbones.fingerprint import fingerprint_of_files
from dragflow.backbones.registry import source_of
from dragflow.bench.run import data_set, facts
from dragflow.bench.sweep import choose
from dragflow.bench.sweep.measure import Log, Measured, Setup, by_trial, measure
from dragflow.bench.sweep.trials import (
    OWN,
    PRESET,
    STILL,
    Half,
    Trial,
    alone,
    base_config,
    still,
    together,
    with_taps,
)
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.editor.versions import versions
from dragflow.files.models import settled_model
from dragflow.files.sweeps import Found, Sweep, read_sweep, sweep_path
from dragflow.method.backbone import BackboneSpec
from dragflow.service.executors import Executor

T = TypeVar("T")
Show = Callable[[Iterable[T], int, str], Iterator[T]]
"""Passes results on and shows how many of a total there are, under a title."""

_CHOSEN = "chosen"


@dataclass(frozen=True)
class Asked:
    """What is swept, and how."""

    model: ModelOptions
    data: str
    halves: tuple[Half, ...]
    preset: str | None
    settings: tuple[str, ...]


@dataclass(frozen=True)
class _Scenes:
    """The samples of a sweep: every other one is kept for the comparison."""

    choosing: Sequence[str]
    comparing: Sequence[str]


def sweep(asked: Asked, executor: Executor, show: Show[Measured], *, force: bool = False) -> Sweep:
    """Measure and choose; what the file of an earlier sweep has of the other half stays.

    Args:
        asked: what is swept.
        executor: runs the edits.
        show: shows progress.
        force: replace a half that was swept with other data or settings.

    Raises:
        UserError: settings that break a rule, data without true pictures, or an earlier sweep that would be replaced.
    """
    asked = replace(asked, model=replace(settled_model(asked.model), unswept=True))
    config, ids = base_config(asked.preset, asked.settings), data_set(asked.data, None).ids
    weights, _, spec = next(iter(executor.run(facts, [asked.model])))
    fingerprint = fingerprint_of_files(source_of(asked.model))
    before = read_sweep(fingerprint) or Sweep(1, asked.model.name, fingerprint)
    for half in asked.halves:
        _check_same(getattr(before, half), asked, half, fingerprint, force=force)
    scenes = _Scenes(ids[0::2], ids[1::2])
    log, setup = Log.of(weights), Setup(asked.model, weights, asked.data)

    def measured(trials: list[Trial], samples: Sequence[str], title: str) -> choose.Table:
        found = measure(setup, trials, samples, log, executor)
        return by_trial(list(show(found, len(trials) * len(samples), title)))

    found = {half: _half(half, config, spec, scenes, measured, asked) for half in asked.halves}
    return replace(before, **found)


Measure = Callable[[list[Trial], Sequence[str], str], choose.Table]


def _half(
    half: Half, config: EditConfig, spec: BackboneSpec, scenes: _Scenes, measured: Measure, asked: Asked
) -> Found:
    own = spec.taps if half == "taps" else spec.kv_blocks
    base = with_taps(config, STILL if half == "sites" else OWN, spec.taps)
    first = [still(config), base] if half == "taps" else [base, together(half, config, spec, own, OWN)]
    each = alone(half, config, spec)
    table = measured([*first, *each], scenes.choosing, f"{half}, each alone")
    single = {trial.name: table[trial.name] for trial in each if trial.name in table}
    chosen = choose.candidates(half, single, table[base.name], len(own))
    compared: choose.Table = {}
    if chosen and chosen != own and scenes.comparing:
        sets = [together(half, config, spec, names, name) for name, names in ((OWN, own), (_CHOSEN, chosen))]
        compared = measured(sets, scenes.comparing, f"{half}, compared")
    judged = choose.verdict(chosen, own, (compared[_CHOSEN], compared[OWN]) if compared else None)
    return Found(
        chosen=chosen if judged.adopted else own,
        own=own,
        reason=judged.reason,
        data=asked.data,
        preset=asked.preset or PRESET,
        settings=asked.settings,
        versions=versions(),
        rows=tuple(
            choose.row(name, column, len(scenes.choosing), None if name == base.name else table[base.name])
            for name, column in table.items()
        ),
        confirmed=tuple(
            choose.row(name, column, len(scenes.comparing), None if name == OWN else compared[OWN])
            for name, column in compared.items()
        ),
    )


def _check_same(found: Found | None, asked: Asked, half: Half, fingerprint: str, *, force: bool) -> None:
    """Refuse to replace what was measured otherwise.

    Raises:
        UserError: it was, and `force` is off.
    """
    if found is None or force:
        return
    there = (found.data, found.preset, found.settings)
    if there != (asked.data, asked.preset or PRESET, asked.settings):
        raise UserError(
            f"{sweep_path(fingerprint)} has {half} that were swept on {found.data} with preset {found.preset} "
            f"{' '.join(found.settings)}: sweep on the same, or replace them with `force`"
        )
