"""The studio's work saved as a project, opened on another page, and continued there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow import Project

pytestmark = pytest.mark.browser
RESULTS = ".results img"
LONG = 120_000


def ran(visitor: Any, count: int) -> None:
    """Run, until so many results are there."""
    visitor.press("Run")
    visitor.page.wait_for_function(
        f"(count) => document.querySelectorAll('{RESULTS}').length === count", arg=count, timeout=LONG
    )
    visitor.wait("!c.running")


def up(visitor: Any) -> None:
    """Show the canvas, from which the buttons may have scrolled away."""
    visitor.page.evaluate("window.scrollTo(0, 0)")


def saved(visitor: Any, path: Path) -> Project:
    with visitor.page.expect_download() as download:
        visitor.press("Save project")
    assert download.value.suggested_filename == "eagle.dragflow"
    download.value.save_as(path)
    return Project.load(path)


def test_a_project_is_saved_opened_elsewhere_and_continued(
    visit: Any, picture: Path, thing: tuple[float, float], tmp_path: Path
) -> None:
    first = visit()
    first.press("Save project")
    first.said("open a picture first")
    up(first)
    first.dragged(picture, thing)
    first.page.get_by_label("What the picture shows").fill("an eagle")
    first.page.get_by_label("What the picture shows").blur()
    ran(first, 1)
    first.press("Continue from the result")
    first.wait("!c.judging && c.document.state.regions.length === 0")
    up(first)
    moved = (thing[0] + 50, thing[1])
    first.page.mouse.click(*first.at(*moved))
    first.wait("c.document.region")
    first.drag(moved, (moved[0], moved[1] + 30))
    ran(first, 2)
    project = saved(first, tmp_path / "eagle.dragflow")
    assert [(edit.parent, edit.names) for edit in project.edits] == [(0, ("Region 1",)), (1, ("Region 1",))]
    assert project.source.data == picture.read_bytes()
    recipes = [edit.recipe for edit in project.edits]
    assert recipes[0] is not None
    assert recipes[1] is not None
    assert (recipes[0].parent, recipes[1].parent) == (None, project.stored(1).recipe_sha256)

    second = visit()
    page = second.page
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "eagle.dragflow"))
    assert second.said("is open") == "eagle.dragflow is open: 2 results"
    assert page.locator(RESULTS).count() == 2
    assert second.value("c.document.words") == "Region 1 moves 30 px down."
    page.wait_for_function("() => window.dragflow.choices.prompt === 'an eagle'")
    assert second.blob("window.dragflow.results.all[0].after") == project.stored(1).data
    page.keyboard.press("Escape")
    ran(second, 3)  # the edit as it was, from the picture that it continued
    assert second.blob("window.dragflow.results.current.after") == project.stored(2).data

    page.keyboard.press("Escape")
    page.locator(".dragflow canvas").focus()
    page.keyboard.press("v")
    page.keyboard.press("ArrowRight")
    again = saved(second, tmp_path / "again.dragflow")
    assert [(edit.parent, edit.result is None) for edit in again.edits] == [
        (0, False),
        (1, False),
        (1, False),
        (1, True),
    ]

    given = page.locator("input[type=file]").first
    given.set_input_files(str(tmp_path / "again.dragflow"))
    page.wait_for_function("() => document.querySelector('.recipe').textContent.includes('replaces 3 results')")
    page.get_by_role("button", name="Open the project").click()
    second.said("eagle.dragflow is open: 3 results")
    assert second.value("c.document.words") == "Region 1 moves 1 px to the right and 30 px down."
    page.reload()
    page.wait_for_function(f"() => document.querySelectorAll('{RESULTS}').length === 3", timeout=LONG)
    assert [edit.parent for edit in saved(second, tmp_path / "later.dragflow").edits] == [0, 1, 1, 1]

    (tmp_path / "broken.dragflow").write_bytes((tmp_path / "eagle.dragflow").read_bytes()[:-9])
    given.set_input_files(str(tmp_path / "broken.dragflow"))
    second.said("the project cannot be read as a zip")
    second.pardon("400")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "other.png")
    second.open(tmp_path / "other.png")
    with page.expect_download() as download:
        second.press("Save project")
    second.said("other.dragflow is saved, without 3 results of other pictures")
    download.value.save_as(tmp_path / "other.dragflow")
    assert Project.load(tmp_path / "other.dragflow").edits == ()
