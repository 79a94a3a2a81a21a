"""How near edits come to the truth: settings side by side on held-out scenes of the procedural world.

    python benchmarks/world.py [--cases 8] [--model nano] SETTING...

A setting is a preset with optional changes: `default`, or `default,kv.rule=mapped,start.stride=1`. Figures are
medians of the PSNR in dB to the rendered truth inside the editable area, at the target and in the vacated part; the
row "no model" is the ghost preview alone. Half of the cases are translations, half rotations, with sprites that no
training has seen.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragflow import Affine, EditConfig, Editor, Instruction, MaskArray, Operation, load_preset, override
from dragflow.io.preview import ghost
from dragflow.io.resolve import resolve
from dragflow.world import DragCase, drag_case

FIRST_SEED = 9000
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Score:
    """PSNR in dB in three places, and the seconds of the whole edit."""

    area: float
    target: float
    vacated: float
    seconds: float


def main() -> None:
    """Run every setting on every case, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=["default", "fast", "paste", "paper"])
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--model", default="nano")
    args = parser.parse_args()
    kinds = ("translate", "rotate")
    cases = [drag_case(FIRST_SEED + i // 2, kinds[i % 2], 256, "test") for i in range(args.cases)]
    editor = Editor.load(args.model)
    print("| setting | area, dB | target, dB | vacated, dB | open + edit, s |\n|---|---|---|---|---|")
    print(_row("no model", [_no_model(case) for case in cases]))
    for setting in args.settings:
        config = parse_setting(setting)
        print(_row(setting, [_edit(editor, case, config) for case in cases]), flush=True)


def parse_setting(text: str) -> EditConfig:
    """A preset's name, and key=value changes after commas."""
    name, *changes = text.split(",")
    return override(load_preset(name), changes)


def instruction(case: DragCase) -> Instruction:
    """What a person would ask for."""
    return Instruction(
        (Operation(MaskArray(case.mask), Affine(case.motion.matrix)),), case.caption, editable=MaskArray(case.area)
    )


def _no_model(case: DragCase) -> Score:
    begun = time.perf_counter()
    return _score(case, ghost(resolve(case.source, instruction(case))), begun)


def _edit(editor: Editor, case: DragCase, config: EditConfig) -> Score:
    begun = time.perf_counter()
    result = editor.open(case.source, case.caption, config=config).edit(instruction(case), config)
    return _score(case, result.image, begun)


def _score(case: DragCase, image: Pixels, begun: float) -> Score:
    seconds = time.perf_counter() - begun
    vacated = case.mask & ~case.target_mask
    places = (case.area, case.target_mask, vacated)
    area, target, left = (_psnr(image, case.target, where) if where.any() else float("nan") for where in places)
    return Score(area, target, left, seconds)


def _psnr(a: Pixels, b: Pixels, where: NDArray[np.bool_]) -> float:
    error = ((a.astype(float) - b.astype(float)) ** 2)[where].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def _row(name: str, scores: list[Score]) -> str:
    table = np.array([(s.area, s.target, s.vacated, s.seconds) for s in scores])
    area, target, vacated, seconds = np.nanmedian(table, axis=0)
    return f"| {name} | {area:.1f} | {target:.1f} | {vacated:.1f} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
