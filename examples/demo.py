"""What `make demo` runs: two edits of bundled pictures with the built-in model, beside the truth, and their quality."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dragflow import Editor, Started, load_instruction
from dragflow.bench.metrics.truth import landing_error, psnr
from dragflow.cli.progress import silence_libraries
from dragflow.core.events import Event
from dragflow.core.motion import apply
from dragflow.io.images import load_image
from dragflow.io.masks import centroid, warp_mask
from dragflow.io.preview import ghost
from dragflow.io.recipe import save_result
from dragflow.io.resolve import full_matrix, resolve

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
EXAMPLES = ("move-eagle", "turn-guitar")


def main() -> None:
    """Edit, measure, write before | ghost preview | after | truth."""
    logging.disable(logging.WARNING)
    silence_libraries()
    OUT.mkdir(exist_ok=True)
    print("Loading the built-in model `nano`: small, and trained on procedural scenes only.")
    editor = Editor.load("nano")
    for name in EXAMPLES:
        _run(editor, name)
    print(f"\nOpen {OUT}/*-sheet.png: before | ghost preview (no model) | after | truth.")


def _run(editor: Editor, name: str) -> None:
    source = load_image(HERE / name / "source.png")
    truth = load_image(HERE / name / "truth.png").pixels
    instruction = load_instruction(HERE / name / "task.json")
    task = resolve(source.pixels, instruction)
    print(f"\n{name}: {instruction.edit_prompt}")

    begun = time.perf_counter()
    session = editor.open(source, instruction.prompt, observer=_say)
    result = session.edit(instruction, observer=_say)
    seconds = time.perf_counter() - begun

    preview = ghost(task)
    save_result(OUT / f"{name}.png", source, result)
    Image.fromarray(np.hstack([source.pixels, preview, result.image, truth])).save(OUT / f"{name}-sheet.png")
    (operation,) = task.operations
    target = warp_mask(operation.mask, full_matrix(operation))
    outside = bool((result.image == source.pixels)[~task.area].all())
    aim = apply(full_matrix(operation), centroid(operation.mask))
    print(f"  result:            {OUT / f'{name}.png'}")
    print(f"  seconds:           {seconds:.1f} (open and edit)")
    landing = landing_error(result.image, truth, target)
    print(f"  landing error:     {landing:.1f} px, aimed at ({aim[0]:.0f}, {aim[1]:.0f})")
    print(f"  PSNR to the truth: {psnr(result.image, truth, task.area):.1f} dB in the editable area")
    print(f"                     {psnr(preview, truth, task.area):.1f} dB by the ghost preview, without a model")
    print(f"  outside the area:  {'identical' if outside else 'CHANGED'}")


def _say(event: Event) -> None:
    if isinstance(event, Started):
        print(f"  {event.phase} ({event.total} model calls)", flush=True)


if __name__ == "__main__":
    main()
