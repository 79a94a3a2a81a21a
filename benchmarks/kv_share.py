"""How many blocks keys and values are injected in, and in which: rows of one preset, on held-out scenes.

    python benchmarks/kv_share.py paper [--scenes 24] [--processes 2] [-o kv-share]
    python benchmarks/kv_share.py default

Every row is the preset with `kv.rule` and `kv.sites` set, and nothing else; "none" is the control. It prints medians
against the rendered truth and the mean gain over "none" in the area, paired, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

from rows import folder_name, make, plan

from dragflow.bench.runs import SampleScores
from dragflow.bench.statistics import difference
from dragflow.cli.progress import silence_libraries
from dragflow.service.executors import executor

SITES = {
    "nano's": ["single.2", "single.4", "single.6"],
    "paper's share": ["double.2", "single.4"],
    "one double, two single": ["double.2", "single.3", "single.6"],
    "11 of 12": [*(f"double.{i}" for i in range(4)), *(f"single.{i}" for i in range(1, 8))],
}
MEASURES = ("landing", "PSNR_area", "PSNR_target", "PSNR_vacated")


def main() -> None:
    """Make what is missing, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=("paper", "default"))
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("kv-share"))
    args = parser.parse_args()
    silence_libraries()
    args.output.mkdir(exist_ok=True)
    rows = {"none": ["kv.rule=none"]}
    for rule in ("in-place", "mapped"):
        for name, sites in SITES.items():
            rows[f"{rule}, {name}"] = [f"kv.rule={rule}", f"kv.sites={json.dumps(sites)}"]
    found: dict[str, list[SampleScores]] = {}
    with executor(processes=args.processes, setup=silence_libraries) as workers:
        for label, changes in rows.items():
            row = plan(f"{args.preset} {label}", "dragflow", changes, f"world:{args.scenes}", "nano", args.preset)
            found[label] = make(row, args.output / folder_name(row.label), workers)
    print(_table(found))


def _table(found: dict[str, list[SampleScores]]) -> str:
    lines = [
        "| K/V | landing, px | area, dB | target, dB | vacated, dB | gain over none in the area, dB |",
        "|---" * 6 + "|",
    ]
    for label, scores in found.items():
        middle = [median(values(scores, measure).values()) for measure in MEASURES]
        gained = difference(values(scores, "PSNR_area"), values(found["none"], "PSNR_area"))
        cells = [
            label,
            *(f"{value:.1f}" for value in middle),
            f"{gained.value:+.2f} ({gained.low:+.2f} to {gained.high:+.2f})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def values(scores: list[SampleScores], measure: str) -> dict[str, float]:
    """One metric by sample, where it applies."""
    return {score.sample: score.values[measure] for score in scores if measure in score.values}


if __name__ == "__main__":
    main()
