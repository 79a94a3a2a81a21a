"""What each part of the method brings, in the order of the paper's ablation, on scenes whose truth is known.

    python benchmarks/ablation.py [--scenes 120] [--model nano] [--processes 2] [-o ablation]

Makes and scores one run for each row below -o; goes on where it stopped. The report is then made by

    dragflow bench report ablation/* --base point --metric landing --metric PSNR_area ... -o docs/ablation.md

The first rows differ in one thing at a time: same inversion, optimiser (Adam) and number of iterations (50). Each
supervision has the best step size of those tried: points 0.005, 0.01, 0.02 and 0.05, regions 0.02, 0.05, 0.1 and 0.2.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rows import folder_name, make, plan

from dragflow.cli.progress import silence_libraries
from dragflow.service.executors import executor

POINT = ["optimise.moving=50", "optimise.moving_rate=0.02"]
REGION = [
    "optimise.supervision=region", "optimise.mean=region", "optimise.moving=40", "optimise.refining=10",
    "optimise.moving_rate=0.1", "optimise.refining_rate=0.1",
]  # fmt: skip
FREE = ["denoise.background=none", "area.composite=false"]
GENTLE = ["optimise.moving=0", "optimise.refining=6", "optimise.refining_rate=0.005"]

ROWS: dict[str, tuple[str, list[str]]] = {
    "point": ("point", [*POINT, *FREE]),
    "+ region": ("point", [*REGION, *FREE]),
    "+ background": ("point", REGION),
    "+ K/V in place": ("point", [*REGION, "kv.rule=in-place"]),
    "+ K/V mapped": ("point", [*REGION, "kv.rule=mapped"]),
    "+ warped start": ("point", [*REGION, "start.mode=warp", *GENTLE]),
    "+ preview start": ("point", [*REGION, "start.mode=preview", *GENTLE]),
    "+ detail": ("point", [*REGION, "start.mode=preview", *GENTLE, "area.detail=true"]),
    "default": ("dragflow", []),
    "regiondrag": ("regiondrag", []),
    "text": ("text", []),
    "paste": ("paste", []),
    "paste-inpaint": ("paste-inpaint", []),
    "preview": ("preview", []),
}
"""Label -> method and changes of its preset."""


def main() -> None:
    """Run and score every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this row; repeatable")
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation"))
    args = parser.parse_args()
    silence_libraries()
    args.output.mkdir(exist_ok=True)
    with executor(processes=args.processes, setup=silence_libraries) as workers:
        for number, (label, (method, changes)) in enumerate(ROWS.items()):
            if not args.row or label in args.row:
                row = plan(label, method, changes, f"world:{args.scenes}", args.model)
                make(row, args.output / f"{number:02d}-{folder_name(label)}", workers)


if __name__ == "__main__":
    main()
