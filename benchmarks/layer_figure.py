"""The twin of the paper's figure of layers: what every tap and every K/V site of swept models is worth, by its depth.

    dragflow model sweep MODEL --data world:8@5000        # for every model, with the same data and settings
    python benchmarks/layer_figure.py MODEL... -o layers.svg

Depth is that of a block among all blocks of its model, 0 for the first and 1 for the last. Gains are those of the
sweeps: over the model's own taps, or over no K/V, paired by scene, with their 95 % intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from dragflow.backbones.fingerprint import fingerprint_of_files
from dragflow.backbones.registry import source_of
from dragflow.bench.sweep.trials import OWN, STILL
from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files.sweeps import Row, Sweep, read_sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAINS = (("landing_gain", "landing, px (nearer is less)"), ("area_gain", "PSNR in the area, dB"))
TITLES = {"taps": "tap compared, less its own taps", "sites": "K/V site, mapped, less no K/V"}


def main() -> None:
    """Draw a column for taps and one for sites, a row for each measure, a colour for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("-o", "--output", type=Path, default=Path("layers.svg"))
    args = parser.parse_args()
    figure = Figure(figsize=(10.4, 5.6), layout="constrained")
    axes: Any = figure.subplots(len(GAINS), len(TITLES), sharex=True)
    for number, model in enumerate(args.models):
        found = swept(model)
        for column, half in enumerate(TITLES):
            for line, (key, _) in enumerate(GAINS):
                draw(axes[line, column], depths(found, half), key, number)
        axes[0, 0].plot([], [], color=f"C{number}", marker="o", label=Path(model).name)
    for line, (_, label) in enumerate(GAINS):
        axes[line, 0].set_ylabel(label)
    for column, title in enumerate(TITLES.values()):
        axes[0, column].set_title(title)
        axes[-1, column].set_xlabel("depth")
    axes[0, 0].plot([], [], color="0.4", marker="x", linestyle="none", label="norm (others: out)")
    axes[0, 0].legend()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "layers"}):
        figure.savefig(args.output, metadata={"Date": None} if args.output.suffix == ".svg" else {})


def swept(model: str) -> Sweep:
    """The sweep of a model, both halves of it.

    Raises:
        UserError: there is none.
    """
    found = read_sweep(fingerprint_of_files(source_of(ModelOptions.of(model))))
    if found is None or found.taps is None or found.sites is None:
        raise UserError(f"{model} has not been swept: run `dragflow model sweep {model}` first")
    return found


def depths(sweep: Sweep, half: str) -> list[tuple[float, Row]]:
    """Rows of single taps, or of single sites, each with its block's depth."""
    assert sweep.sites is not None
    blocks = [row.name for row in single(sweep.sites.rows)]
    rows = single(getattr(sweep, half).rows)
    return [
        (blocks.index(row.name.removesuffix(".norm").removesuffix(".out")) / (len(blocks) - 1), row) for row in rows
    ]


def single(rows: Sequence[Row]) -> list[Row]:
    """Those of one tap or site alone."""
    return [row for row in rows if row.name not in (OWN, STILL)]


def draw(axis: Axes, rows: list[tuple[float, Row]], key: str, number: int) -> None:
    """One measure of one model; what has the same depth stands side by side."""
    for depth, row in rows:
        value, low, high = getattr(row, key) or (float("nan"),) * 3
        error = [[max(value - low, 0)], [max(high - value, 0)]]
        norm = row.name.endswith(".norm")
        place, style = depth + 0.01 * number - 0.02 * norm, "x" if norm else "o"
        axis.errorbar(place, value, error, fmt=style, color=f"C{number}", markersize=4, linewidth=0.8)
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
