"""`dragflow project`: a picture, its edits and their results in one file."""

from __future__ import annotations

import io
import json
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from dragflow import Project, load_recipe
from dragflow.files.pictures import load_image
from dragflow.files.recipes import encode_result
from project_makers import made, picture, result


def files(desk: Any) -> tuple[Any, Any, Any]:
    """A picture, a result, and one that continues it."""
    source = picture()
    Image.fromarray(source.pixels).save(desk.image)
    first, second = desk.folder / "first.png", desk.folder / "second.png"
    first.write_bytes(result(source, 1))
    second.write_bytes(result(made(first.read_bytes()), 2))
    return desk.image, first, second


def test_a_project_is_made_shown_and_exported(run: Any, desk: Any) -> None:
    image, first, second = files(desk)
    project, raster, again = (desk.folder / name for name in ("hill.dragflow", "hill.ora", "again.png"))
    begun = desk.folder / "begun.dragflow"
    assert run("project", "new", image, first, "-o", begun).code == 0
    assert run("project", "new", begun, second, "-o", project).code == 0
    added = project.read_bytes()
    told = run("project", "new", image, second, first, "-o", project, "--force")
    assert (told.code, told.out.strip()) == (0, f"{project}: 2 results")
    assert project.read_bytes() == added
    assert run("project", "new", image, "-o", project).code == 2  # it exists
    assert run("project", "new", image, "-o", first, "--force").code == 2
    shown = json.loads(run("project", "show", project, "--json").out)
    assert shown["picture"]["name"] == image.name
    assert [(edit["continues"], edit["model"], edit["seed"]) for edit in shown["edits"]] == [
        (0, "dummy", 1),
        (1, "dummy", 2),
    ]
    assert "dummy" in run("project", "show", project).out
    assert run("project", "export", project, "-o", raster).code == 0
    with ZipFile(raster) as file:
        merged = np.asarray(Image.open(io.BytesIO(file.read("mergedimage.png"))).convert("RGB"))
    assert np.array_equal(merged, load_image(second).pixels)
    assert run("project", "export", project, "-o", again, "--edit", "1").code == 0
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("new", "picture.png", "second.png", "-o", "a.dragflow"), "second.png was made from a picture that is not in"),
        (("new", "picture.png", "mask.png", "-o", "a.dragflow"), "mask.png has no recipe"),
        (("new", "picture.png", "-o", "a.zip"), "a.zip is not named for a project"),
        (("new", "picture.png", "first.png", "-o", "first.png", "--force"), "first.png is not named for a project"),
        (("show", "picture.png"), "picture.png cannot be read as a zip"),
        (("run", "no.dragflow"), "no.dragflow does not exist"),
        (("export", "hill.dragflow", "-o", "a.ora", "--edit", "7"), "--edit is 7: the project has no result of that"),
        (("export", "hill.dragflow", "-o", "a.jpg"), "a.jpg is not named .ora or .png"),
        (("run", "strange.dragflow"), "edit 1: the recipe asks for --model 'some/one'"),
    ],
)
def test_what_cannot_be_done_is_said(run: Any, desk: Any, command: Any, words: str, monkeypatch: Any) -> None:
    image, first, _ = files(desk)
    Project.of(image).added(first).save(desk.folder / "hill.dragflow")
    Project.of(image).added(result(picture(), model="some/one")).save(desk.folder / "strange.dragflow")
    monkeypatch.chdir(desk.folder)
    before = desk.files()
    told = run("project", *command)
    assert (told.code, words in told.err) == (2, True), told.err
    assert desk.files() == before


@pytest.mark.slow
def test_each_edit_is_repeated_and_told_apart(run: Any, desk: Any) -> None:
    first, second, project = (desk.folder / name for name in ("first.png", "second.tif", "hill.dragflow"))
    drag = ("--mask", desk.mask, "--to", "61.5,31.5", "--model", "dummy", "--preset", "paste")
    assert run("edit", desk.image, *drag, "-o", first).code == 0
    assert run("edit", first, *drag, "-o", second).code == 0
    assert load_recipe(second).parent == load_image(first).recipe_sha256
    assert run("project", "new", desk.image, first, second, "-o", project).code == 0
    told = run("project", "run", project)
    assert (told.code, told.out.splitlines()) == (0, ["edit 1: the same bytes", "edit 2: the same bytes"])

    recipe, source = load_recipe(first), load_image(desk.image)
    pixels = load_image(first).pixels.copy()
    pixels[0, :3] += 1
    made_elsewhere = encode_result(source, pixels, recipe)
    Project.of(desk.image).added(made_elsewhere).save(project)
    told = run("project", "run", project)
    assert (told.code, told.out.strip()) == (1, "edit 1: other bytes; 3 pixels differ")
    events = run("project", "run", project, "--json").events
    assert events[-1] == {"event": "repeated", "edit": 1, "same": False, "pixels": 3}
