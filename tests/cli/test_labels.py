"""What is guessed of a region is said, chosen by one option, and repeated from the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.core.task import MaskArray
from dragflow.files.recipes import load_recipe

QUICK = ("--set", "inversion.steps=2", "--set", "inversion.skip=1", "--set", "optimise.refining=1")
IN_THE_FACE, THE_FACE = ("--box", "40,30,52,42"), ("--box", "20,12,75,62")
PART, WHOLE = "operation 0 is taken for a part", "operation 0 is taken for a whole object"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """A light box with soft shading on a dark ground."""
    shade = np.linspace(150, 200, 100)[None, :, None] + np.linspace(0, 20, 75)[:, None, None]
    image = np.full((75, 100, 3), 30.0)
    image[12:63, 20:76] = np.broadcast_to(shade, image.shape)[12:63, 20:76]
    path = tmp_path / "face.png"
    Image.fromarray(image.astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "motion",
    [("--to", "55,40"), ("--about", "46,36", "--degrees", "60"), ("--about", "46,36", "--scale", "1.8"),
     ("--matrix", "1,0.2,0,0,1,5")],
)  # fmt: skip
def test_every_motion_is_labelled_by_the_picture_or_by_the_option(
    motion: tuple[str, ...], run: Any, face: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    guessed = run("preview", face, *IN_THE_FACE, *motion, "-o", out)
    assert guessed.out.startswith(PART), guessed.err
    assert "--label relocation" in guessed.out
    shown = out.read_bytes()
    told = run("preview", face, *IN_THE_FACE, *motion, "--label", "deformation", "--force", "-o", out)
    assert (told.code, told.out) == (0, "")
    assert out.read_bytes() == shown
    cut = run("preview", face, *IN_THE_FACE, *motion, "--label", "relocation", "--force", "-o", out)
    assert (cut.code, cut.out) == (0, "")
    assert out.read_bytes() != shown


def test_a_whole_object_is_said_to_be_one(run: Any, face: Path, tmp_path: Path) -> None:
    assert run("preview", face, *THE_FACE, "--to", "55,40", "-o", tmp_path / "out.png").out.startswith(WHOLE)


def test_a_file_keeps_what_was_said_and_shows_what_is_guessed(run: Any, face: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.json"
    assert run("task", "new", face, *IN_THE_FACE, "--to", "55,40", "-o", asked).code == 0
    assert '"label"' not in asked.read_text()
    shown = run("task", "show", asked, face)
    assert PART in shown.out
    assert "deformation" in shown.out
    asked.unlink()
    run("task", "new", face, *IN_THE_FACE, "--to", "55,40", "--label", "relocation", "-o", asked)
    assert '"label": "relocation"' in asked.read_text()
    assert "taken for" not in run("task", "show", asked, face).out


def test_an_edit_says_its_guess_and_repeats_it_without_guessing(
    run: Any, face: Path, tmp_path: Path, dummy_folder: Path
) -> None:
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    made = run("edit", face, *IN_THE_FACE, "--to", "55,40", "--model", dummy_folder, *QUICK, "-o", first)
    assert made.out.startswith(PART), made.err
    (operation,) = load_recipe(first).instruction.operations
    assert operation.motion.label == "deformation"
    repeated = run("edit", face, "--from", first, "--trust", "-o", again)
    assert repeated.code == 0, repeated.err
    assert "taken for" not in repeated.out
    assert again.read_bytes() == first.read_bytes()
    events = run(
        "edit", face, *THE_FACE, "--to", "55,40", "--model", dummy_folder, *QUICK, "--json", "-o", tmp_path / "c.png"
    ).events
    assert events[-2] == {"event": "labelled", "operation": 0, "label": "relocation"}


def test_a_snapped_region_is_said_stored_and_repeated(run: Any, face: Path, tmp_path: Path, dummy_folder: Path) -> None:
    careless = ("--box", "17,9,78,65", "--to", "52,38")
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    made = run("edit", face, *careless, "--model", dummy_folder, *QUICK, "-o", first)
    assert made.out.startswith("operation 0 is snapped to the object's edge: 0 px added"), made.err
    assert "--cut soft" in made.out
    assert load_recipe(first).instruction.operations[0].cut == "soft"
    repeated = run("edit", face, "--from", first, "--trust", "-o", again)
    assert repeated.code == 0, repeated.err
    assert "object's edge" not in repeated.out
    assert again.read_bytes() == first.read_bytes()
    kept = run("preview", face, *careless, "--cut", "soft", "-o", tmp_path / "kept.png")
    assert (kept.code, "object's edge" in kept.out) == (0, False)
    wrong = run("preview", face, *careless, "--cut", "torn", "-o", tmp_path / "torn.png")
    assert wrong.code == 2
    assert "choose hard, soft or snap" in wrong.err


def test_what_a_region_passes_behind_is_said_stored_and_repeated(run: Any, tmp_path: Path, dummy_folder: Path) -> None:
    picture = np.random.default_rng(0).integers(150, 175, (96, 160, 3)).astype(np.uint8)
    picture[:, 100:110] = (60, 40, 20)
    picture[35:60, 20:45] = (40, 90, 210)
    source, first, again = (tmp_path / name for name in ("s.png", "first.png", "again.png"))
    Image.fromarray(picture).save(source)
    ball = ("--box", "20,35,44,59", "--to", "105,47", "--label", "relocation", "--cut", "soft")
    made = run("edit", source, *ball, "--behind", "auto", "--model", dummy_folder, *QUICK, "-o", first)
    assert made.out.startswith("operation 0 passes behind what is there"), made.err
    recipe = load_recipe(first).instruction.operations[0]
    assert isinstance(recipe.behind, MaskArray)
    assert "passes behind" not in (repeated := run("edit", source, "--from", first, "--trust", "-o", again)).out
    assert repeated.code == 0, repeated.err
    assert again.read_bytes() == first.read_bytes()
    inner = (slice(40, 55), slice(103, 107))
    assert (np.asarray(Image.open(first).convert("RGB"))[inner] == picture[inner]).all()
    nothing = run("preview", source, *ball, "--behind", "nothing", "-o", tmp_path / "front.png")
    assert (nothing.code, "passes behind" in nothing.out) == (0, False)
    Image.fromarray((picture == (60, 40, 20)).all(axis=2).astype(np.uint8) * 255).save(tmp_path / "post.png")
    told = run("preview", source, *ball, "--behind", tmp_path / "post.png", "-o", tmp_path / "told.png")
    assert (told.code, "passes behind" in told.out) == (0, False), told.err
    lost = run("preview", source, *ball, "--behind", tmp_path / "gone.png", "-o", tmp_path / "lost.png")
    assert lost.code == 2
    assert "gone.png" in lost.err
