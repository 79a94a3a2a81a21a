"""How the cost of an edit grows: over size of the picture, area, iterations and operations, with fitted exponents.

    python benchmarks/edit_cost.py [--preset default] [--over area ...] [--timed] [--plot FILE]

Operations of model calls are counted, on fewer blocks than FLUX.1 has, of its width and without values. --timed fits
seconds of a small random FLUX of full depth, too. An exponent is the slope of a line through logarithms: 1 is in
proportion.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from counted import counted_flux1, flop
from edit_stages import CALLING, FIRST, NEXT, Stage, Work, measured, total

from dragflow import EditConfig, Editor, load_preset
from dragflow.backbones.dummy import write_dummy
from dragflow.backbones.quiet import silence_libraries

BLOCKS = {"num_layers": 1, "num_single_layers": 2}
"""In FLUX.1's proportion, which has `TIMES` as many."""
TIMES = 19
TIMED: dict[str, Any] = {"doubles": 19, "singles": 38, "heads": 1, "head_dim": 64}
USUAL = Work((512, 512), area=0.2)


@dataclass(frozen=True)
class Axis:
    """One thing that the cost may depend on."""

    values: tuple[float, ...]
    work: Callable[[float], Work] = lambda value: USUAL
    iterations: bool = False

    def config(self, config: EditConfig, value: float) -> EditConfig:
        """The configuration at a value."""
        return config.with_(optimise={"moving": int(value), "refining": 0}) if self.iterations else config


AXES = {
    "pixels": Axis((256**2, 384**2, 512**2, 768**2), lambda pixels: replace(USUAL, size=(round(pixels**0.5),) * 2)),
    "area": Axis((0.05, 0.1, 0.2, 0.4, 0.8), lambda area: replace(USUAL, area=area)),
    "iterations": Axis((2, 4, 8, 16), iterations=True),
    "operations": Axis((1, 2, 4), lambda count: replace(USUAL, operations=int(count))),
}


def main() -> None:
    """Measure, print a Markdown table, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--over", nargs="+", choices=tuple(AXES), default=list(AXES), help="what is varied")
    parser.add_argument("--timed", action="store_true", help="seconds of a small model, too")
    parser.add_argument("--plot", type=Path, help="where the curves are drawn (.svg, .png, .pdf)")
    args = parser.parse_args()
    silence_libraries()
    config = load_preset(args.preset)
    with flop() as done:
        curves = {"TFLOP": _curves(Editor(counted_flux1(**BLOCKS)), config, args.over, _called, done)}
    if args.timed:
        with tempfile.TemporaryDirectory() as folder:
            editor = Editor.load(write_dummy(Path(folder), **TIMED))
        curves["seconds"] = _curves(editor, config, args.over, lambda stages: total(stages).seconds)
    print(_table(curves))
    if args.plot:
        _plot(curves, args.plot)


Curves = dict[tuple[str, str], list[float]]
"""(What it depends on, edit) -> the cost at each value."""


def _curves(
    editor: Editor,
    config: EditConfig,
    over: list[str],
    cost: Callable[[dict[str, Stage]], float],
    done: Callable[[], int] = lambda: 0,
) -> Curves:
    curves: Curves = {}
    for name in over:
        axis = AXES[name]
        for value in axis.values:
            for edit, stages in measured(editor, axis.work(value), axis.config(config, value), done).items():
                curves.setdefault((name, edit), []).append(cost(stages))
    return curves


def _called(stages: dict[str, Stage]) -> float:
    """TFLOP of the model calls of FLUX.1, without encoding and decoding."""
    return TIMES * sum(took.flop for name, took in stages.items() if name in CALLING) / 1e12


def exponent(values: tuple[float, ...], costs: list[float]) -> float:
    """The slope of the line through their logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def _table(curves: dict[str, Curves]) -> str:
    lines = ["| over | | edit | cost | exponent |", "|---|---|---|---|---|"]
    for unit, of_unit in curves.items():
        for (name, edit), costs in of_unit.items():
            values = AXES[name].values
            row = ", ".join(f"{cost:.3g}" for cost in costs)
            shown = ", ".join(f"{value:g}" for value in values)
            lines.append(f"| {name} | {shown} | {edit} | {row} {unit} | {exponent(values, costs):.2f} |")
    return "\n".join(lines)


def _plot(curves: dict[str, Curves], path: Path) -> None:
    from matplotlib.figure import Figure

    over = list(dict.fromkeys(name for of_unit in curves.values() for name, _ in of_unit))
    figure = Figure(figsize=(3 * len(over), 3 * len(curves)), layout="constrained")
    grid = figure.subplots(len(curves), len(over), squeeze=False, sharey="row")
    for row, (unit, of_unit) in zip(grid, curves.items(), strict=True):
        row[0].set_ylabel(unit)
        for panel, name in zip(row, over, strict=True):
            for edit, style in ((FIRST, "o-"), (NEXT, "s--")):
                costs = of_unit[name, edit]
                panel.plot(AXES[name].values, costs, style, label=f"{edit}: {exponent(AXES[name].values, costs):.2f}")
            panel.set(xscale="log", yscale="log", xlabel=name)
            panel.legend(fontsize="small")
    figure.savefig(path)


if __name__ == "__main__":
    main()
