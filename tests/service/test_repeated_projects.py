"""A project of five edits on the embedded model, one continued from the other, repeated from its file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dragflow import Box, Editor, Operation, Project, Rotate, Scale, Translate, load_preset
from dragflow.service import ModelPool, repeat_edits, run
from dragflow.world import scene

QUICK = load_preset("fast").with_(inversion={"steps": 4, "skip": 1}, optimise={"moving": 1, "refining": 2})
EDITS = (
    (Operation(Box(40, 40, 70, 70), Translate((80, 60), label="relocation")), "bridge"),
    (Operation(Box(60, 40, 95, 80), Rotate((78, 60), degrees=25)), QUICK),
    (Operation(Box(10, 60, 40, 100), Scale((25, 80), 1.3, label="deformation")), "paste"),
    (Operation(Box(30, 20, 60, 50), Translate((70, 90), label="relocation"), cut="soft"), "bridge"),
    (Operation(Box(60, 70, 90, 105), Translate((40, 80), label="deformation")), QUICK.with_(seed=7)),
)


@pytest.mark.slow
def test_a_project_of_five_edits_is_repeated_to_the_same_bytes(tmp_path: Path) -> None:
    Image.fromarray((scene(7, 128).render() * 255).astype(np.uint8)).save(tmp_path / "scene.jpg")
    session = Editor.load("nano").open(tmp_path / "scene.jpg", "a scene", config="bridge")
    project = Project.of(tmp_path / "scene.jpg")
    for operation, config in EDITS:
        result = session.edit(operation, config)
        project = project.added(result, operation)
        session = session.accept(result, config=config)
    assert [edit.parent for edit in project.edits] == [0, 1, 2, 3, 4]
    project.save(tmp_path / "scene.dragflow")

    again = Project.load(tmp_path / "scene.dragflow")
    repeated = list(repeat_edits(again, partial(run, pool=ModelPool())))
    assert [one.text for one in repeated] == [f"edit {number}: the same bytes" for number in range(1, 6)]
    assert all(np.array_equal(one.result.pixels, again.picture(one.number).pixels) for one in repeated)
    assert len({again.stored(number).sha256 for number in range(6)}) == 6  # and each has changed something
