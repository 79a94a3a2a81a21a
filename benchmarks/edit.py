"""What an edit costs: presets against the published schedule on one random FLUX of full depth, in one process.

    python benchmarks/edit.py [--size 256] [--width 256] [--dtype float32] [--presets default fast] [--rounds 1]
                              [--calls N] [--clock wall] [--stages] [--counted flux1] [--json FILE]

Ratios are wall-clock seconds of the published schedule's model calls over those of a whole edit (open and edit, with
encoding and decoding); with --calls N, of N calls of each kind, times how many there are. --stages adds a table by
stage: operations done are counted on a copy of the model without values, by the same edit; those necessary follow from
the sizes of its streams (see `edit_stages.Necessary`). --counted flux1 counts FLUX.1 itself, and times nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from counted import counted_flux1, counted_like, flop
from edit_stages import FIRST, NEXT, REST, Necessary, Stage, Work, matmul_peak, measured, total
from published_schedule import PublishedSchedule

from dragflow import Editor, load_preset
from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.quiet import silence_libraries

BASELINES = {"published": True, "published, lower bound": False}
"""Name -> whether the backward pass visits every block; see `published_schedule`."""
PRESETS = ("paper", "default", "fast", "paste")
FULL_DEPTH = (19, 38)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Edits = dict[str, dict[str, Stage]]
"""Edit -> stage -> what it took."""


def main() -> None:
    """Run what was asked for, print Markdown tables."""
    args = _arguments()
    silence_libraries()
    size, clock = (args.size[0], args.size[-1]), CLOCKS[args.clock]
    if args.counted:
        work = Work(size, args.area)
        print("\n\n".join(_count(counted_flux1(), name, work) for name in args.presets))
        return
    with tempfile.TemporaryDirectory() as folder:
        heads, head = args.width // 64, 64
        write_dummy(Path(folder), doubles=FULL_DEPTH[0], singles=FULL_DEPTH[1], heads=heads, head_dim=head)
        editor = Editor.load(folder, dtype=args.dtype)
    model, work = editor.backbone, Work(size, args.area)
    measured(editor, Work((64, 64)), load_preset("fast"))  # the first runs of all parts are slower
    schedules = {name: PublishedSchedule.of(model, size, whole_graph=whole) for name, whole in BASELINES.items()}
    bases = {
        name: median(each.seconds(args.calls, clock) for _ in range(args.rounds)) for name, each in schedules.items()
    }
    rows = {
        name: [measured(editor, work, load_preset(name), clock=clock) for _ in range(args.rounds)]
        for name in args.presets
    }
    print(_table(bases, rows, args))
    if args.stages:
        speed = matmul_peak(model.device, model.dtype, clock=clock)
        print(f"\nProducts of matrices reach {speed / 1e9:.0f} GFLOP/s here.")
        for name, runs in rows.items():
            print("\n" + _by_stage(name, model, work, runs[-1], speed))
    if args.json:
        written = {
            name: [{e: {s: asdict(x) for s, x in st.items()} for e, st in run.items()} for run in runs]
            for name, runs in rows.items()
        }
        args.json.write_text(json.dumps({"published": bases, "presets": written}, indent=2))


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="side of the picture in pixels, or H W")
    parser.add_argument("--area", type=float, default=0.14, help="share of the picture that may change")
    parser.add_argument("--width", type=int, default=256, help="width of the transformer, a multiple of 64")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), help="those that are measured")
    parser.add_argument("--rounds", type=int, default=1, help="times each contestant runs; medians are shown")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="cpu: of one thread, on a busy machine")
    parser.add_argument("--calls", type=int, help="time the published schedule by so many calls of each kind")
    parser.add_argument("--stages", action="store_true", help="a table by stage of each preset")
    parser.add_argument("--counted", choices=("flux1",), help="count this model at its full size, and time nothing")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    return parser.parse_args()


def _table(bases: dict[str, float], rows: dict[str, list[Edits]], args: argparse.Namespace) -> str:
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    by_call = "" if args.calls is None else f", published by {args.calls} calls of each kind"
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads; {FULL_DEPTH[0]} + {FULL_DEPTH[1]} blocks, "
        f"width {args.width}, {' x '.join(map(str, args.size))} px, {args.dtype}, "
        f"{args.clock} time, median of {args.rounds}{by_call}",
        "",
        "| | open + edit, s | faster than published | than its lower bound "
        "| second edit, s | than published | faster than the first | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    slowest, lowest = bases.values()
    lines += [
        f"| {name} | {base:.1f} | {slowest / base:.2f}x | {lowest / base:.2f}x | - | - | - | - |"
        for name, base in bases.items()
    ]
    for name, runs in rows.items():
        first, second = (median(total(run[edit]).seconds for run in runs) for edit in (FIRST, NEXT))
        memory = max(total(run[FIRST]).memory for run in runs)
        lines.append(
            f"| {name} | {first:.1f} | {slowest / first:.2f}x | {lowest / first:.2f}x | {second:.1f} "
            f"| {slowest / second:.2f}x | {first / second:.2f}x | {memory:.0f} |"
        )
    return "\n".join(lines)


def _by_stage(name: str, model: Any, work: Work, edits: Edits, speed: float) -> str:
    config = load_preset(name)
    with flop() as done:
        counted = measured(Editor(counted_like(model)), work, config, done)
    needed = Necessary.of(model, work, config)
    head = f"{name}, {needed.active / needed.image:.0%} of the image tokens with a rim of one:"
    lines = [
        head,
        "",
        "| | calls | s | GFLOP done | necessary | share of the peak | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for edit, stages in edits.items():
        for stage, took in _ordered(stages):
            did = counted[edit][stage].flop
            necessary = needed.stage(stage, took.calls)
            share = did / took.seconds / speed
            lines.append(
                f"| {edit}: {stage} | {took.calls or '-'} | {took.seconds:.2f} | {did / 1e9:.0f} "
                f"| {f'{necessary / 1e9:.0f}' if necessary else '-'} | {share:.0%} | {took.memory:.0f} |"
            )
    return "\n".join(lines)


def _count(model: Any, name: str, work: Work) -> str:
    config = load_preset(name)
    needed = Necessary.of(model, work, config)
    with flop() as done:
        edits = measured(Editor(model), work, config, done)
        published = {
            base: PublishedSchedule.of(model, work.size, whole_graph=whole).flop(done)
            for base, whole in BASELINES.items()
        }
    lines = [
        f"FLUX.1 at {work.size[0]} x {work.size[1]}, {needed.active / needed.image:.0%} of the image tokens with a rim "
        f"of one, {name}; published: "
        + ", ".join(f"{count / 1e12:.0f} TFLOP ({base})" for base, count in published.items()),
        "",
        "| | calls | TFLOP done | necessary |",
        "|---|---|---|---|",
    ]
    for edit, stages in edits.items():
        each = [(stage, took, needed.stage(stage, took.calls)) for stage, took in _ordered(stages)]
        lines += [
            f"| {edit}: {stage} | {took.calls or '-'} | {took.flop / 1e12:.1f} | {_tera(need)} |"
            for stage, took, need in each
        ]
        lines.append(
            f"| {edit} | {total(stages).calls} | {total(stages).flop / 1e12:.0f} | {_tera(sum(x[2] for x in each))} |"
        )
    return "\n".join(lines)


def _tera(flop: int) -> str:
    return f"{flop / 1e12:.1f}" if flop else "-"


def _ordered(stages: dict[str, Stage]) -> Sequence[tuple[str, Stage]]:
    """What lies between stages comes last."""
    return sorted(stages.items(), key=lambda item: item[0] == REST)


if __name__ == "__main__":
    main()
