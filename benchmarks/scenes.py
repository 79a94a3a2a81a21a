"""Measures of single scenes in one JSONL file for each row of a table, so that a row resumes where it stopped."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import track
from truths import gain

from dragflow.cli.progress import silence_libraries
from dragflow.service.executors import executor

Line = dict[str, Any]
"""What was measured on one scene: `scene` is its number, `edit` has the scores of an edit."""
Lines = dict[int, Line]


class SceneJob(Protocol):
    """One scene of one row."""

    @property
    def scene(self) -> int: ...


EDIT = ("landing", "PSNR_area", "PSNR_target", "PSNR_vacated", "SSIM_area")

J = TypeVar("J", bound=SceneJob)


def add_options(parser: ArgumentParser, scenes: int) -> None:
    """Which scenes, and how."""
    parser.add_argument("--scenes", type=int, default=scenes)
    parser.add_argument("--first", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=1)


def run(
    row: str,
    numbers: range,
    job: Callable[[int], J],
    measure: Callable[[J, str | None], Line],
    out: Path,
    processes: int,
) -> None:
    """Measure the scenes that the row has not."""
    silence_libraries()
    out.mkdir(parents=True, exist_ok=True)
    done = read(out, row)
    jobs = [job(number) for number in numbers if number not in done]
    with executor(processes=processes, setup=silence_libraries) as workers:
        for line in track(workers.run(measure, jobs), row, len(jobs), console=Console(stderr=True)):
            with _log(out, row).open("a") as log:
                log.write(json.dumps(line) + "\n")


def read(folder: Path, row: str) -> Lines:
    """The scenes of a row, by number."""
    log = _log(folder, row)
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {line["scene"]: line for line in lines}


def edit_table(rows: Mapping[str, Lines], base: str) -> str:
    """Medians of the scores in each line's `edit`, and the mean gain over the row `base`, as Markdown."""
    table = [f"| row | scenes | {' | '.join(EDIT)} | gain over {base}, dB in the area |"]
    table.append("|---" * (len(EDIT) + 3) + "|")
    for row, found in rows.items():
        if found:
            values = [median(line["edit"][key] for line in found.values() if key in line["edit"]) for key in EDIT]
            better = "" if row == base else gain(_areas(found), _areas(rows[base]))
            cells = [row, str(len(found)), *(f"{value:.2f}" for value in values), better]
            table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def _areas(found: Lines) -> dict[int, float]:
    return {number: line["edit"]["PSNR_area"] for number, line in found.items()}


def _log(folder: Path, row: str) -> Path:
    return folder / f"{row.replace(' ', '-')}.jsonl"
