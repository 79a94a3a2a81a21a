"""Which blocks to compare and which to inject: every tap and every K/V site alone, on held-out scenes.

    python benchmarks/sweep.py [--scenes 12] [--model nano] [--processes 2] [-o sweep] [--plot docs/images/sweep.png]

Taps are judged where the loss does all the work: from the inverted source, with 24 adaptive steps. Sites are judged by
what mapped K/V of that block alone adds to the preset `default`. The row "default" is the model's own choice; the first
row of each table has none. Figures are medians against the rendered truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from dragflow import Editor
from dragflow.bench.table import by_setting, row
from dragflow.bench.world import held_out, run
from dragflow.cli.progress import silence_libraries

FIRST_SCENE = 5000
DRAG = (
    "default,start.mode=source,area.detail=false,optimise.moving=16,optimise.refining=8,"
    "optimise.moving_rate=0.05,optimise.refining_rate=0.05"
)
NO_DRAG = "default,start.mode=source,area.detail=false,optimise.refining=0"


def main() -> None:
    """Run both sweeps, print two Markdown tables, draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("sweep"))
    parser.add_argument("--plot", type=Path, default=None)
    args = parser.parse_args()
    silence_libraries()
    spec = Editor.load(args.model).backbone.spec
    taps = {"none": NO_DRAG, **{t: f'{DRAG},optimise.taps=["{t}"]' for t in spec.tap_names}, "default": DRAG}
    sites = {"none": "default", **{b: f'default,kv.rule=mapped,kv.sites=["{b}"]' for b in spec.blocks}}
    sites["default"] = "default,kv.rule=mapped"
    scenes = held_out(FIRST_SCENE, args.scenes)
    records = by_setting(list(run([*taps.values(), *sites.values()], scenes, args.model, args.output, args.processes)))
    tables = []
    for title, named in (("tap", taps), ("K/V site", sites)):
        rows = {name: row(records[setting]) for name, setting in named.items()}
        tables.append((title, rows))
        print(f"\n| {title} | landing, px | area, dB | target, dB | vacated, dB |\n|---|---|---|---|---|")
        for name, r in rows.items():
            landing = float(np.median([x.landing for x in records[named[name]]]))
            print(f"| {name} | {landing:.1f} | {r.area:.2f} | {r.target:.2f} | {r.vacated:.2f} |")
    if args.plot:
        _draw(tables, args.plot)


def _draw(tables: list, path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(tables), figsize=(11, 4), layout="constrained")
    for axis, (title, rows) in zip(axes, tables, strict=True):
        for measure, mark in (("area", "o-"), ("target", "s-"), ("vacated", "^-")):
            axis.plot([getattr(r, measure) for r in rows.values()], mark, label=measure)
        axis.set_xticks(range(len(rows)), list(rows), rotation=60, ha="right")
        axis.set_ylabel("PSNR to the truth, dB")
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
