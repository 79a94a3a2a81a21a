"""Files as a release writes them, kept beside this one: every later version must read them, and mean the same.

    python tests/releases/keep.py

writes those of the version that is installed, once; `make release` does so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import dragflow
from dragflow import Affine, Box, Instruction, MaskArray, MaskFile, Operation, Polygon, Rotate, Scale, Translate
from dragflow.core.motion import Remove, motion_matrix
from dragflow.core.result import Recipe
from dragflow.pixels.masks import centroid, rasterise

HERE = Path(__file__).parent
SIZE = (48, 64)
EXPECTED = "expected.json"
KINDS = ("png", "tif", "webp", "jpg")
"""Formats that hold a recipe in a place of their own."""


def write(folder: Path) -> None:
    """Instructions with every region, motion and choice; results in every format, one that continues another; and a
    project of them.
    """
    folder.mkdir(parents=True)
    picture, mask = folder / "source.png", folder / "mask.png"
    _draw(picture, mask)
    expected: dict[str, Any] = {}
    for name, instruction in _instructions(mask):
        dragflow.save_instruction(folder / f"{name}.json", instruction)
        expected[f"{name}.json"] = meaning(dragflow.load_instruction(folder / f"{name}.json"))
    mask.unlink()  # it is in the files
    editor = dragflow.Editor.load("dummy", device="cpu")
    session = editor.open(picture, "a red square", config="fast")
    asked = Instruction([Operation(Box(8, 8, 23, 23), Translate((40, 24), "relocation"), cut="soft")], "a red square")
    first = session.edit(asked, "fast")
    second = session.accept(first, config="paste").edit(Operation(Box(40, 8, 55, 23), Rotate((48, 16), degrees=90)))
    for name, result in [(f"result.{kind}", first) for kind in KINDS] + [("continued.png", second)]:
        result.save(folder / name)
        expected[name] = recipe_meaning(result.provenance.recipe)
    project = dragflow.Project.of(picture).added(first, asked, names=["square"]).added(second).marked(asked, parent=2)
    project.save(folder / "kept.dragflow")
    expected["kept.dragflow"] = project_meaning(project)
    (folder / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def meaning(instruction: Instruction) -> dict[str, Any]:
    """What an instruction asks for, in words and numbers that no version may change."""
    return {
        "prompts": [instruction.prompt, instruction.edit_prompt],
        "protect": None if instruction.protect is None else _pixels(instruction.protect),
        "operations": [_operation(one) for one in instruction.operations],
        "editable": None
        if instruction.editable is None
        else [instruction.editable_mode, _pixels(instruction.editable)],
    }


def recipe_meaning(recipe: Recipe) -> dict[str, Any]:
    """What a recipe repeats."""
    made = recipe.weights.options
    return {
        "instruction": meaning(recipe.instruction),
        "model": [made.model, made.dtype, recipe.weights.fingerprint],
        "source": recipe.source_sha256,
        "seed": recipe.config.seed,
        "start": recipe.config.start.mode,
        "steps": [recipe.config.inversion.steps, recipe.config.inversion.skip],
        "parent": recipe.parent,
    }


def project_meaning(project: dragflow.Project) -> list[Any]:
    """What a project holds: of each edit its parent, regions' names and instruction, and whether it was run."""
    return [
        [
            one.parent,
            list(one.names),
            meaning(one.instruction),
            None if one.recipe is None else recipe_meaning(one.recipe),
        ]
        for one in project.edits
    ]


def _operation(operation: Operation) -> list[Any]:
    mask = rasterise(operation.region, SIZE)
    handle = operation.handle or centroid(mask)
    matrix = np.round(motion_matrix(operation.motion, handle), 4).tolist()
    front = operation.behind if operation.front is None else _pixels(operation.front)
    return [operation.motion.type, operation.motion.label, int(mask.sum()), matrix, operation.cut, front]


def _pixels(region: Any) -> int:
    return int(rasterise(region, SIZE).sum())


def _draw(picture: Path, mask: Path) -> None:
    noise = np.random.default_rng(0).integers(100, 110, (*SIZE, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).rectangle((8, 8, 23, 23), fill="red")
    image.save(picture)
    painted = Image.new("L", image.size)
    ImageDraw.Draw(painted).rectangle((8, 8, 23, 23), fill=255)
    painted.save(mask)


def _instructions(mask: Path) -> Iterator[tuple[str, Instruction]]:
    box, outline = Box(8, 8, 23, 23), Polygon(((30, 8), (50, 8), (50, 30)))
    array = MaskArray(np.pad(np.ones((8, 8), bool), ((30, 10), (4, 52))))
    yield "move", Instruction(Operation(MaskFile(mask), Translate((40, 24))), "a red square", "it is on the right")
    yield (
        "motions",
        Instruction(
            [
                Operation(box, Rotate((16, 30), to=(40, 30), label="relocation"), handle=(16, 16)),
                Operation(outline, Scale((50, 30), (1.5, 0.5), label="deformation")),
                Operation(array, Affine(((1, 0.25, 2), (0, 1, -3)))),
            ],
            editable=Box(2, 2, 60, 45),
        ),
    )
    yield (
        "choices",
        Instruction(
            [
                Operation(box, Translate((30, 20)), cut="hard", behind=outline),
                Operation(outline, Rotate((40, 16), degrees=-20), cut="snap", behind=False),
                Operation(array, Scale((8, 34), 2.0), cut="soft", behind=True),
            ],
            editable=outline,
            editable_mode="extend",
        ),
    )
    yield (
        "areas",
        Instruction(
            Operation(box, Translate((40, 16))), editable=outline, editable_mode="subtract", protect=Box(0, 40, 63, 47)
        ),
    )
    copies = [Operation(box, Translate((40, 16), "copy")), Operation(array, Remove())]
    yield "copy-and-remove", Instruction(copies)


if __name__ == "__main__":
    place = HERE / dragflow.__version__
    if place.exists():
        print(f"{place} is kept already")
    else:
        write(place)
        print(f"{place} holds what version {dragflow.__version__} writes: commit it")
