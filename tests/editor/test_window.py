"""A window of a large picture: where it is, that the edit in it is that of the smaller picture, and that it is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow import (
    Box,
    EditConfig,
    Editor,
    Event,
    Instruction,
    Operation,
    Started,
    Stepped,
    SubjectOptions,
    Translate,
    UserError,
    load_preset,
)
from dragflow.core.arrays import Window
from dragflow.core.config import SizeConfig
from dragflow.core.motion import Label, seen_from
from dragflow.core.task import DragTask
from dragflow.editor import frames, session, window
from dragflow.editor.window import settled
from dragflow.files.pictures import SourceImage
from dragflow.files.recipes import load_recipe
from dragflow.pixels.resolve import resolve
from dragflow.service.jobs import repeat
from dragflow.service.pool import ModelPool
from dragflow.service.run import run

Picture = NDArray[np.uint8]
H, W, CELL = 300, 400, 16
MOVE = Operation(Box(210, 150, 229, 169), Translate((235, 166), label="relocation"), cut="hard")
SMALL = SizeConfig(max_pixels=96 * 96)
WINDOW: Window = (176, 112, 272, 208)
"""96 x 96: exactly the working size, so that nothing is resampled."""
CONFIG = replace(load_preset("paper"), size=SMALL).with_(
    inversion={"steps": 4, "skip": 1}, optimise={"moving": 2, "refining": 1}
)


@pytest.fixture(scope="module")
def editor(dummy_folder: Path) -> Editor:
    return Editor.load(dummy_folder, device="cpu")


def picture() -> Picture:
    return np.random.default_rng(7).integers(0, 256, (H, W, 3), dtype=np.uint8)


def task_of(*operations: Operation, size: tuple[int, int] = (H, W), editable: Box | None = None) -> DragTask:
    return resolve(np.zeros((*size, 3), np.uint8), Instruction(operations, editable=editable))


def seen(task: DragTask, size: SizeConfig) -> str | Window:
    return settled(size, (task.area.shape[0], task.area.shape[1]), task, CELL).window


def box_of(task: DragTask, size: SizeConfig) -> Window:
    window = seen(task, size)
    assert isinstance(window, tuple)
    return window


def unexpected(event: Event) -> None:
    pytest.fail(f"the model is at work: {event}")


def windowed(window: Window | str, config: EditConfig = CONFIG) -> EditConfig:
    return config.with_(size={"window": window})


# -- where it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [(100, 100), (0, 0), (379, 279), (0, 150), (200, 279)])
@pytest.mark.parametrize("max_pixels", [4096, 9216, 30_000])
def test_a_window_has_what_is_needed_and_whole_cells(at: tuple[int, int], max_pixels: int) -> None:
    x, y = at
    to = (x + 10 if x < 200 else x - 10, y + 10)
    task = task_of(Operation(Box(x, y, x + 20, y + 20), Translate((to[0] + 10, min(to[1] + 10, H - 1)))))
    left, top, right, bottom = box_of(task, SizeConfig(max_pixels=max_pixels))
    assert 0 <= left < right <= W
    assert 0 <= top < bottom <= H
    assert (right - left) % CELL == 0
    assert (bottom - top) % CELL == 0
    everything = task.area | task.operations[0].mask
    assert everything[top:bottom, left:right].sum() == everything.sum()
    inside = np.zeros_like(task.area)
    inside[top + (top > 0) : bottom - (bottom < H), left + (left > 0) : right - (right < W)] = True
    assert not (everything & ~inside).any()  # the area ends in the window, so there is no seam at its rim


def test_a_small_window_is_worked_on_pixel_for_pixel() -> None:
    left, top, right, bottom = box_of(task_of(MOVE), SizeConfig(max_pixels=30_000))
    size = (bottom - top, right - left)
    assert frames.working_size(size, 30_000, CELL) == size


def test_context_grows_with_what_is_needed() -> None:
    task = task_of(Operation(Box(400, 400, 599, 499), Translate((520, 460)), cut="hard"), size=(2000, 3000))
    left, top, right, bottom = box_of(task, SizeConfig(max_pixels=4096))
    wide, tall = np.ptp(np.nonzero(task.area)[1]) + 1, np.ptp(np.nonzero(task.area)[0]) + 1
    assert right - left == pytest.approx(1.5 * wide, abs=CELL + 4)
    assert bottom - top == pytest.approx(1.5 * tall, abs=CELL + 4)


def test_at_the_end_of_a_narrow_picture_the_window_is_longer() -> None:
    task = task_of(Operation(Box(500, 10, 519, 29), Translate((530, 30))), size=(64, 2000))
    left, top, right, bottom = box_of(task, SizeConfig(max_pixels=65_536))
    assert (top, bottom) == (0, 64)
    assert right - left == 256


@pytest.mark.parametrize(
    ("task", "size"),
    [
        (task_of(MOVE), SizeConfig(max_pixels=H * W)),
        (task_of(MOVE), SizeConfig(max_pixels=4096, window="whole")),
        (task_of(Operation(Box(10, 10, 60, 60), Translate((360, 260)))), SizeConfig(max_pixels=4096)),
    ],
    ids=["small picture", "as asked", "large edit"],
)
def test_the_whole_picture_is_seen(task: DragTask, size: SizeConfig) -> None:
    assert seen(task, size) == "whole"


def test_the_source_of_a_region_is_seen_though_the_area_leaves_it_out() -> None:
    far = Operation(Box(20, 20, 39, 39), Translate((120, 130), label="relocation"))
    left, top, right, bottom = box_of(task_of(far, editable=Box(100, 110, 140, 150)), SizeConfig(max_pixels=4096))
    assert (left, top) == (0, 0)
    assert right > 140
    assert bottom > 150


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ((0, 0, 401, 100), r'size\.window is \[0, 0, 401, 100\].*in the picture \(400 x 300\).*"auto"'),
        ((50, 0, 50, 100), "in the picture"),
        ((210, 112, 304, 208), r'the edit needs \[209, 149.*"auto"'),
    ],
)
def test_a_window_that_cannot_be_is_refused(window: Window, said: str, editor: Editor) -> None:
    config = windowed(window)
    with pytest.raises(UserError, match=said):
        editor.open(picture(), config=config, observer=unexpected).edit(MOVE, config, unexpected)


# -- the edit in it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "start"), [("relocation", "source"), ("deformation", "preview")])
def test_an_edit_in_a_window_is_that_of_the_smaller_picture(
    label: Label, start: str, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The preview is of the whole picture; this one is the same in any window of it.
    monkeypatch.setattr(
        session, "draw_preview", lambda task, _: np.where(task.area[..., None], 255 - task.image, task.image)
    )
    config = windowed(WINDOW).with_(area={"detail": True}, start={"mode": start}, optimise={"stretch": True})
    area = Box(200, 140, 250, 185)
    asked = Instruction(replace(MOVE, motion=replace(MOVE.motion, label=label)), prompt="a cat", editable=area)
    left, top, right, bottom = WINDOW
    shifted = Instruction(
        Operation(
            Box(210 - left, 150 - top, 229 - left, 169 - top), seen_from(asked.operations[0].motion, (left, top))
        ),
        prompt="a cat",
        editable=Box(200 - left, 140 - top, 250 - left, 185 - top),
    )
    large = editor.open(picture(), "a cat", config=config).edit(asked, config)
    alone = windowed("whole", config)
    small = editor.open(picture()[top:bottom, left:right], "a cat", config=alone).edit(shifted, alone)
    assert large.losses == small.losses
    assert np.array_equal(large.pixels[top:bottom, left:right], small.pixels)
    assert np.array_equal(large.pixels[~large.area], picture()[~large.area])
    assert (large.pixels != picture())[large.area].any()


def test_a_picture_of_the_working_size_is_edited_as_a_whole(editor: Editor) -> None:
    small = picture()[112:208, 176:272]
    move = Operation(Box(34, 38, 53, 57), Translate((59, 54)))
    auto, whole = (editor.open(small, config=config).edit(move, config) for config in (CONFIG, windowed("whole")))
    assert auto.png() == whole.png()


def test_a_large_picture_waits_for_the_instruction_and_a_window_is_inverted_once(editor: Editor) -> None:
    phases: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, Started):
            phases.append(event.phase)

    opened = editor.open(picture(), config=CONFIG, observer=observe)
    assert not phases
    opened.edit(MOVE, CONFIG, observe)
    assert phases.count("invert") == 1
    opened.edit(replace(MOVE, motion=Translate((237, 166), label="relocation")), CONFIG, observe)
    assert phases.count("invert") == 1
    opened.edit(Operation(Box(20, 20, 39, 39), Translate((45, 40)), cut="hard"), CONFIG, observe)
    assert phases.count("invert") == 2


def test_a_preview_shows_the_window_in_the_whole_picture(editor: Editor) -> None:
    shown: list[Picture] = []

    def observe(event: Event) -> None:
        if isinstance(event, Stepped) and event.preview is not None and not shown:
            shown.append(event.preview())

    flat = np.full((H, W, 3), 200, np.uint8)
    config = windowed(WINDOW)
    editor.open(flat, config=config).edit(MOVE, config, observe)
    h, w = shown[0].shape[:2]
    assert h * w == pytest.approx(96 * 96, rel=0.05)
    assert h / w == pytest.approx(H / W, rel=0.05)
    left, top, right, bottom = (round(edge * w / W) for edge in WINDOW)
    outside = np.ones((h, w), np.bool_)
    outside[top - 1 : bottom + 1, left - 1 : right + 1] = False
    assert (shown[0][outside] == 200).all()
    assert (shown[0][top + 1 : bottom - 1, left + 1 : right - 1] != 200).any()


@pytest.mark.parametrize(
    ("crop", "size"), [("whole", (96, 96)), ("region", (20, 20))], ids=["what is seen", "the region"]
)
def test_the_subject_is_what_the_model_sees(
    crop: str, size: tuple[int, int], dummy_folder: Path, instantcharacter: SubjectOptions
) -> None:
    editor = Editor.load(dummy_folder, device="cpu", subject=instantcharacter)
    opened = editor.open(picture(), config=windowed(WINDOW))
    config = windowed(WINDOW).with_(subject={"crop": crop})
    opened.edit(MOVE, config)
    encoded = opened._subject._encoded
    assert encoded is not None
    left, top, right, bottom = encoded[0] or (0, 0, W, H)
    assert (bottom - top, right - left) == size


def test_the_preview_is_drawn_in_the_whole_picture(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[DragTask] = []
    monkeypatch.setattr(session, "draw_preview", lambda task, _: drawn.append(task) or task.image)
    config = windowed(WINDOW).with_(start={"mode": "preview"})
    editor.open(picture(), config=config).edit(MOVE, config)
    assert [task.area.shape for task in drawn] == [(H, W)]


# -- that it is kept ---------------------------------------------------------------------------------------------------


def test_a_recipe_holds_the_window_and_repeats_it(
    dummy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ModelPool()
    editor = Editor.load(dummy_folder, device="cpu")
    source = SourceImage(picture())
    first = editor.open(source, config=CONFIG).edit(MOVE, CONFIG)
    first.save(tmp_path / "out.png")
    recipe = load_recipe(tmp_path / "out.png")
    assert recipe.config.size.box is not None
    monkeypatch.setattr(window, "_LEAST", 1.0)  # another rule, as a later version may have
    assert editor.open(source, config=CONFIG).edit(MOVE, CONFIG).provenance.recipe.config.size != recipe.config.size
    again = run(repeat(source, recipe, trust=True), pool)
    assert again.png() == first.png()
