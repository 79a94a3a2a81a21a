"""What `make demo` runs: two edits of bundled pictures with the built-in model, beside the truth, and their quality."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from PIL import Image

import dragflow
from dragflow.bench import landing_error, psnr

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
EXAMPLES = ("move-eagle", "turn-guitar")


def main() -> None:
    """Edit, measure, write before | preview | after | truth."""
    logging.disable(logging.WARNING)
    OUT.mkdir(exist_ok=True)
    print("Loading the built-in model `nano`: small, and trained on procedural scenes only.")
    editor = dragflow.Editor.load("nano")
    for name in EXAMPLES:
        _run(editor, name)
    print(f"\nOpen {OUT}/*-sheet.png: before | preview (no model) | after | truth.")
    print("Drag pictures of your own: .venv/bin/dragflow studio --model nano")


def _run(editor: dragflow.Editor, name: str) -> None:
    source, truth = (np.asarray(Image.open(HERE / name / f"{part}.png").convert("RGB")) for part in ("source", "truth"))
    instruction = dragflow.load_instruction(HERE / name / "task.json")
    print(f"\n{name}: {instruction.edit_prompt}")

    begun = time.perf_counter()
    session = editor.open(HERE / name / "source.png", instruction.prompt, observer=_say)
    result = session.edit(instruction, observer=_say)
    seconds = time.perf_counter() - begun

    preview = np.asarray(dragflow.preview(source, instruction))
    result.save(OUT / f"{name}.png")
    Image.fromarray(np.hstack([source, preview, result.pixels, truth])).save(OUT / f"{name}-sheet.png")
    (target,) = result.targets
    print(f"  result:            {OUT / f'{name}.png'}")
    print(f"  seconds:           {seconds:.1f} (open and edit)")
    print(f"  landing error:     {landing_error(result.pixels, truth, target):.1f} px")
    print(f"  PSNR to the truth: {psnr(result.pixels, truth, result.area):.1f} dB in the editable area")
    print(f"                     {psnr(preview, truth, result.area):.1f} dB by the preview, without a model")
    outside = bool((result.pixels == source)[~result.area].all())
    print(f"  outside the area:  {'identical' if outside else 'CHANGED'}")


def _say(event: dragflow.Event) -> None:
    if isinstance(event, dragflow.Started):
        print(f"  {event.phase} ({event.total} model calls)", flush=True)


if __name__ == "__main__":
    main()
