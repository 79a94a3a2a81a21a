"""Write the bundled examples anew from the procedural world: picture, instruction, true picture after the edit."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dragflow import save_instruction
from dragflow.bench.data.world import as_sample, drawn
from dragflow.world import drag_case

EXAMPLES = {
    "move-boat": ("translate", 308),
    "move-eagle": ("translate", 309),
    "turn-guitar": ("rotate", 308),
    "shrink-house": ("scale", 310),
    "stretch-eagle": ("stretch", 309),
}
"""Name -> kind of motion and seed, all with sprites that no training has seen."""


def main() -> None:
    """Write every example into its folder beside this file."""
    for name, (kind, seed) in EXAMPLES.items():
        case = drag_case(seed, kind, 256, "test")
        folder = Path(__file__).parent / name
        folder.mkdir(exist_ok=True)
        Image.fromarray(case.source).save(folder / "source.png", optimize=True)
        Image.fromarray(case.target).save(folder / "truth.png", optimize=True)
        save_instruction(folder / "task.json", as_sample(str(case.seed), drawn(case)).instruction)


if __name__ == "__main__":
    main()
