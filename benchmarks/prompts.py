"""What the prompt brings to an edit, as in the paper's Table 5: the true captions, none, and those of another scene.

    python benchmarks/prompts.py run ROW [--scenes 60] [--first 5000] [--preset default] [--processes 1] [-o prompts]
    python benchmarks/prompts.py report [-o prompts]

Rows: `true`, `none`, and `wrong` (source and editing prompt of the next scene). Everything else of a scene is the same
in all of them. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import scenes
from truths import scene

from dragflow.bench.metrics.suite import load_suite
from dragflow.bench.run import editor
from dragflow.core.models import ModelOptions
from dragflow.core.task import Instruction
from dragflow.files.presets import load_preset

ROWS = ("true", "none", "wrong")


@dataclass(frozen=True)
class Job:
    """One scene of one row."""

    row: str
    scene: int
    preset: str


def main() -> None:
    """Run a row, or print the tables of all that were run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("row", choices=ROWS)
    run.add_argument("--preset", default="default")
    scenes.add_options(run, 60)
    for command in (run, commands.add_parser("report")):
        command.add_argument("-o", "--output", type=Path, default=Path("prompts"))
    args = parser.parse_args()
    if args.command == "report":
        print(scenes.edit_table({row: scenes.read(args.output, row) for row in ROWS}, "true"))
        return
    numbers = range(args.first, args.first + args.scenes)
    scenes.run(
        args.row, numbers, lambda number: Job(args.row, number, args.preset), measure, args.output, args.processes
    )


def measure(job: Job, device: str | None) -> scenes.Line:
    """The scores of one scene."""
    sample, config = scene(job.scene), load_preset(job.preset)
    asked = _prompted(sample.instruction, job)
    session = editor(ModelOptions("nano"), device).open(sample.image, asked.prompt, config=config)
    scores = load_suite(device=device).score(sample, session.edit(asked, config).pixels)
    return {"scene": job.scene, "preset": job.preset, "prompt": asked.target_prompt, "edit": scores}


def _prompted(asked: Instruction, job: Job) -> Instruction:
    if job.row == "true":
        return asked
    other = scene(job.scene + 1).instruction if job.row == "wrong" else Instruction(asked.operations)
    return replace(asked, prompt=other.prompt, edit_prompt=other.edit_prompt)


if __name__ == "__main__":
    main()
