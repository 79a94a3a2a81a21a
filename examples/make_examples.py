"""Write the bundled examples from the procedural world: picture, instruction, true picture after the edit."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dragflow import save_instruction
from dragflow.bench.data.world import as_sample, drawn
from dragflow.world import EXAMPLES


def main() -> None:
    """Write every example into its folder beside this file."""
    for example in EXAMPLES:
        case = example.case(256)
        folder = Path(__file__).parent / example.name
        folder.mkdir(exist_ok=True)
        Image.fromarray(case.source).save(folder / "source.png", optimize=True)
        Image.fromarray(case.target).save(folder / "truth.png", optimize=True)
        save_instruction(folder / "task.json", as_sample(str(case.seed), drawn(case)).instruction)


if __name__ == "__main__":
    main()
