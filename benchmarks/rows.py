"""Rows of a table: each a method with changes of its preset, run on scenes and scored in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from dragflow.bench.folder import write_scores
from dragflow.bench.methods import WITH_MODEL
from dragflow.bench.metrics.suite import Suite
from dragflow.bench.run import Plan, data_set, run
from dragflow.bench.runs import SampleScores
from dragflow.bench.score import score
from dragflow.core.models import ModelOptions
from dragflow.files.presets import load_preset, override
from dragflow.service.executors import Executor


def plan(label: str, method: str, changes: list[str], data: str, model: str, preset: str | None = None) -> Plan:
    """A row: `method` with a preset, its own (`default` of the drag itself) when None, changed."""
    if method not in WITH_MODEL:
        return Plan(data, "disc", method, label, None, None)
    config = override(load_preset(preset or WITH_MODEL[method] or "default"), changes)
    return Plan(data, "disc", method, label, config, ModelOptions(model))


def make(row: Plan, folder: Path, workers: Executor) -> list[SampleScores]:
    """Run and score a row; what the folder holds already is not made again."""
    samples, suite = data_set(row.data, row.regions), Suite()
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task(row.label, total=len(samples.ids))
        for _ in run(row, samples.ids, folder, workers):
            progress.advance(bar)
    found = list(score(folder, samples, suite))
    write_scores(folder, suite.tools(), found)
    return found


def folder_name(label: str) -> str:
    """The label in plain characters."""
    return re.sub(r"\W+", "-", label).strip("-")
