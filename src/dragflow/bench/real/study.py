"""What is run on which data set: every folder with every preset and with the preview, all settings pinned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from dragflow.backbones.usual import preset_of_few_steps, usual_preset
from dragflow.bench.methods import WITH_MODEL
from dragflow.bench.run import Plan, data_set
from dragflow.bench.runs import RunRecord, ScoredRun, read_records, read_scored
from dragflow.core.errors import UserError
from dragflow.core.fields import STRICT
from dragflow.core.models import ModelOptions
from dragflow.files.presets import configure
from dragflow.service.machine import devices, system

SETS = {
    "ReD Bench": "red-bench",
    "DragBench": "dragbench",
    "DragBench-DR/SR": "dragbench-regions",
    "VFD-Bench": "vfd-bench",
}
"""The data sets by their names, and what the folders of their runs begin with."""
SEED = 0
RUNS = "runs"
"""Folder of the runs in the folder of a study, and in its archive."""
_PREVIEW = "preview"
"""What every preset is to be compared with: dragflow's own preview, which needs no model."""


@dataclass(frozen=True)
class Part:
    """One run of a study."""

    plan: Plan
    ids: Sequence[str]
    """Samples that are run."""
    folder: Path


@dataclass(frozen=True)
class Circumstances:
    """What the figures were measured on, beside what the runs themselves record."""

    __pydantic_config__ = STRICT

    dragflow: str
    """Version."""
    machine: tuple[str, ...]
    """Python and system, and every device."""
    available: dict[str, int]
    """How many samples the folder of each data set holds."""
    limit: int | None
    """Only so many samples of each were run; None for all."""
    runs: tuple[str, ...] = field(default=())
    """Folders of the runs below `RUNS`, in the order of the table."""


def presets_for(model: ModelOptions, given: Sequence[str] = ()) -> tuple[str, ...]:
    """The presets that are run: the given ones, else that which serves the model best, and the paper's.

    A model that was not made to be inverted has its own preset alone.
    """
    if given:
        return tuple(dict.fromkeys(given))
    best = usual_preset(model)
    return (best, "paper") if best in ("default", "bridge") else (best,)


def parts(
    folders: Sequence[str], presets: Sequence[str], model: ModelOptions, out: Path, limit: int | None = None
) -> tuple[Part, ...]:
    """The runs of a study, data set by data set.

    Args:
        folders: of data sets, one for each of those in `SETS` at most.
        presets: names, or paths of TOML files.
        model: what edits.
        out: folder of the study.
        limit: at most so many samples of each data set.

    Raises:
        UserError: no folder, one without a known data set or with several, two with one, an unknown preset, or two
            with one name.
    """
    named = {Path(preset).stem: preset for preset in presets}
    if len(named) < len(presets):
        raise UserError(f"two of the presets {', '.join(presets)} have one name: rename a file")
    few = preset_of_few_steps(model)
    configs = {name: configure(preset, [f"seed={SEED}"], few=few) for name, preset in named.items()}
    found: list[Part] = []
    for name, folder in data_folders(folders).items():
        ids = data_set(folder, None).ids[:limit]

        def part(plan: Plan, prefix: str = f"{SETS[name]}-", ids: Sequence[str] = ids) -> Part:
            return Part(plan, ids, out / RUNS / f"{prefix}{re.sub(r'[^A-Za-z0-9_.-]', '-', plan.label)}")

        found.append(part(Plan(folder, None, _PREVIEW, _PREVIEW, None, None)))
        for preset, config in configs.items():
            method = preset if WITH_MODEL.get(preset) else "dragflow"
            found.append(part(Plan(folder, None, method, f"dragflow {preset}", config, model)))
    return tuple(found)


def data_folders(folders: Sequence[str]) -> dict[str, str]:
    """Folders by the names of their data sets, in the order of `SETS`.

    Raises:
        UserError: as `parts`.
    """
    found: dict[str, str] = {}
    for folder in folders:
        name = data_set(folder, None).name
        if name not in SETS:
            raise UserError(f"{folder} holds {name}: give a folder with one of {', '.join(SETS)} and nothing else")
        if name in found:
            raise UserError(f"{found[name]} and {folder} both hold {name}: measure one of them in another folder")
        found[name] = folder
    if not found:
        raise UserError(f"no data set is given: name the folder of one or more of {', '.join(SETS)}")
    return {name: found[name] for name in SETS if name in found}


def circumstances(study: Sequence[Part], limit: int | None) -> Circumstances:
    """Where and on what a study was run."""
    places = {data_set(part.plan.data, None).name: len(data_set(part.plan.data, None).ids) for part in study}
    here = (f"{one.name}: {one.what}, {one.memory / 2**30:.0f} GiB" for one in devices())
    runs = tuple(part.folder.name for part in study)
    return Circumstances(version("dragflow"), (system(), *here), places, limit, runs)


def is_scored(folder: Path, tools: object) -> bool:
    """Whether a run has the scores of all its pictures, measured with these tools."""
    from dragflow.bench.report.build import current_scores

    try:
        run = read_scored(folder)
    except UserError:
        return False
    return replace(run.tools, scores_sha256="") == tools and current_scores(run).keys() == made(run.records)


def made(records: Sequence[RunRecord]) -> set[str]:
    """The samples of which there is a picture."""
    return {record.sample for record in records if record.status == "done"}


def scored_runs(folder: Path, names: Sequence[str]) -> Iterator[ScoredRun]:
    """The runs of a study, of those that made a picture at all, called by their place in it.

    So their reports are the same bytes wherever the study lies.

    Raises:
        UserError: one is missing or damaged.
    """
    for name in names:
        if made(read_records(folder / RUNS / name)):
            yield read_scored(folder / RUNS / name)
