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
from rows import folder_name, make, plan

from dragflow.bench.metrics.truth import landing_error
from dragflow.bench.run import data_set, editor
from dragflow.bench.runs import picture_path, read_records
from dragflow.cli.progress import silence_libraries
from dragflow.core.models import ModelOptions
from dragflow.files.pictures import load_image
from dragflow.service.executors import executor

FIRST_SCENE = 5000
DRAG = [
    "start.mode=source", "area.detail=false", "optimise.moving=16", "optimise.refining=8",
    "optimise.moving_rate=0.05", "optimise.refining_rate=0.05",
]  # fmt: skip
NO_DRAG = ["start.mode=source", "area.detail=false", "optimise.refining=0"]
MAPPED = ["kv.rule=mapped"]
MEASURES = ("PSNR_area", "PSNR_target", "PSNR_vacated")


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
    spec = editor(ModelOptions(args.model), None).backbone.spec
    taps = {"none": NO_DRAG, **{t: [*DRAG, f'optimise.taps=["{t}"]'] for t in spec.tap_names}, "default": DRAG}
    sites = {"none": [], **{b: [*MAPPED, f'kv.sites=["{b}"]'] for b in spec.blocks}, "default": MAPPED}
    data = f"world:{args.scenes}@{FIRST_SCENE}"
    tables = []
    with executor(processes=args.processes, setup=silence_libraries) as workers:
        for title, settings in (("tap", taps), ("K/V site", sites)):
            rows = {}
            for name, changes in settings.items():
                row = plan(f"{title} {name}", "dragflow", changes, data, args.model)
                folder = args.output / folder_name(row.label)
                folder.parent.mkdir(exist_ok=True)
                scores = make(row, folder, workers)
                rows[name] = {key: float(np.median([s.values[key] for s in scores])) for key in MEASURES}
                rows[name]["landing"] = float(np.median(landings(folder, data)))
            tables.append((title, rows))
    for title, rows in tables:
        print(f"\n| {title} | landing, px | area, dB | target, dB | vacated, dB |\n|---|---|---|---|---|")
        for name, row in rows.items():
            print(f"| {name} | {row['landing']:.1f} | " + " | ".join(f"{row[key]:.2f}" for key in MEASURES) + " |")
    if args.plot:
        _draw(tables, args.plot)


def landings(folder: Path, data: str) -> list[float]:
    """Landing errors of all scenes: also of rotations and scalings, which the table of metrics leaves out."""
    found: list[float] = []
    for record in read_records(folder):
        sample = data_set(data, "disc").load(record.sample)
        assert sample.truth is not None
        assert sample.target_mask is not None
        image = load_image(picture_path(folder, record.sample)).pixels
        found.append(landing_error(image, sample.truth, sample.target_mask))
    return found


def _draw(tables: list, path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(tables), figsize=(11, 4), layout="constrained")
    for axis, (title, rows) in zip(axes, tables, strict=True):
        for measure, mark in zip(MEASURES, ("o-", "s-", "^-"), strict=True):
            axis.plot([row[measure] for row in rows.values()], mark, label=measure.removeprefix("PSNR_"))
        axis.set_xticks(range(len(rows)), list(rows), rotation=60, ha="right")
        axis.set_ylabel("PSNR to the truth, dB")
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
