"""Copies, removals, swaps and areas as options: several of each, contradictions, and the same from the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragflow.core.motion import Remove, Translate
from dragflow.files.instructions import load_instruction


def made(run: Any, desk: Any, *options: str) -> Any:
    filled = [part.replace("TWO", str(desk.two)) for part in options]
    return run("task", "new", desk.image, "-o", desk.folder / "t.json", "--force", *filled)


def test_a_copy_has_several_targets_and_every_region_its_own_removal(run: Any, desk: Any) -> None:
    done = made(
        run, desk, "--mask", "TWO", "--at", "30,30", "--to", "60,30", "--copy", "--to", "60,55",
        "--box", "75,20,90,40", "--remove", "--mask", "TWO", "--at", "80,60", "--remove", "--cut", "hard",
    )  # fmt: skip
    assert done.code == 0, done.err
    operations = load_instruction(desk.folder / "t.json").operations
    assert [op.motion for op in operations] == [
        Translate((60, 30), "copy"),
        Translate((60, 55), "copy"),
        Remove(),
        Remove(),
    ]
    assert operations[3].cut == "hard"
    assert "removal" in run("task", "show", desk.folder / "t.json", desk.image).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--box", "20,20,43,43", "--to", "70,30", "--area", "add:"), "which names no mask: give add:MASK"),
        (("--mask", "TWO", "--to", "60,30", "--to", "60,55"), "--to is given twice: add --copy"),
        (("--mask", "TWO", "--remove", "--to", "60,30"), "--to 60,30 cannot be used here: what is removed"),
        (("--mask", "TWO", "--copy"), "it has no motion"),
        (("--mask", "TWO", "--swap", "1,1,9,9", "--to", "60,30"), "--to 60,30 cannot be used here: a swap says"),
        (("--mask", "TWO", "--copy", "--to", "60,30", "--label", "relocation"), "--label relocation and --copy"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(options: tuple[str, ...], said: str, run: Any, desk: Any) -> None:
    done = made(run, desk, *options)
    assert done.code == 2
    assert said in done.err


def test_two_regions_change_places_and_areas_are_added_to_taken_from_and_protected(run: Any, desk: Any) -> None:
    kept = desk.folder / "kept.png"
    Image.fromarray(np.pad(np.full((5, 5), 255, np.uint8), ((0, 70), (0, 95)))).save(kept)
    swapped = ("--mask", "TWO", "--at", "30,30", "--swap", "70,50,89,69", "--cut", "hard", "--protect", str(kept))
    for given, mode in (("add:TWO", "extend"), ("subtract:TWO", "subtract"), ("TWO", "replace")):
        done = made(run, desk, *swapped, "--area", given)
        assert done.code == (2 if mode == "subtract" else 0), done.err
        if mode == "subtract":
            assert "the editable area does not touch the target of operation 1" in done.err
            continue
        asked = load_instruction(desk.folder / "t.json")
        assert [op.motion for op in asked.operations] == [
            Translate((79.5, 59.5), "relocation"),
            Translate((31.5, 31.5), "relocation"),
        ]
        assert asked.editable_mode == mode
        assert asked.protect is not None


def test_an_edit_with_both_repeats_and_keeps_what_is_copied(run: Any, desk: Any, dummy_folder: Path) -> None:
    common = ("--model", dummy_folder, "--preset", "paste", "--set", "inversion.steps=2", "--set", "inversion.skip=1")
    both = ("--box", "20,20,43,43", "--copy", "--to", "70,30", "--cut", "hard", "--box", "20,50,40,70", "--remove")
    done = run("edit", desk.image, *both, *common, "-o", desk.out)
    assert done.code == 0, done.err
    before, after = (np.asarray(Image.open(path)) for path in (desk.image, desk.out))
    assert (before == after)[20:44, 20:44].all()
    assert (before != after)[50:71, 20:41].any()
    again = run("edit", "--from", desk.out, desk.image, "--model", dummy_folder, "-o", desk.folder / "again.png")
    assert again.code == 0, again.err
    assert np.array_equal(after, np.asarray(Image.open(desk.folder / "again.png")))


def test_blocks_are_swapped_by_an_option_that_is_not_a_region_s(run: Any, desk: Any) -> None:
    done = run("edit", desk.image, "--box", "75,20,90,40", "--swap-blocks", "--remove", "--model", "./nowhere")
    assert "Unknown option" not in done.err
    assert "nowhere" in done.err
