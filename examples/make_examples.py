"""Write the bundled examples anew from the procedural world: picture, instruction, true picture after the edit."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dragflow import Affine, Instruction, MaskArray, Operation, Rotate, Scale, Translate, save_instruction
from dragflow.core.task import Motion
from dragflow.world import DragCase, drag_case

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
        operation = Operation(MaskArray(case.mask), _motion(case))
        area = MaskArray(case.area)
        save_instruction(folder / "task.json", Instruction((operation,), case.caption, case.edit, area))


def _motion(case: DragCase) -> Motion:
    motion = case.motion
    if motion.type == "rotate" and motion.about is not None:
        return Rotate(motion.about, degrees=motion.degrees)
    if motion.type == "scale" and motion.about is not None and motion.factor is not None:
        return Scale(motion.about, motion.factor)
    if motion.type == "translate":
        ys, xs = case.mask.nonzero()
        return Translate(motion.apply((float(xs.mean()), float(ys.mean()))))
    return Affine(motion.matrix)


if __name__ == "__main__":
    main()
