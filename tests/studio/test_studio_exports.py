"""What the studio exports and reads again: layers, OpenRaster, samples, and a result whose edit is restored."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from dragflow.files.instructions import parse_instruction
from dragflow.files.pictures import load_image
from dragflow.files.recipes import load_recipe
from dragflow.files.red_bench import load_red_bench
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

pytestmark = pytest.mark.browser
RESULTS = ".results img"
LONG = 120_000
SHOWS = re.compile(r"^\s*What the picture shows")


def saved(visitor: Any, button: str, folder: Path) -> Path:
    """The file that a button saves."""
    with visitor.page.expect_download() as download:
        visitor.press(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    visitor.page.wait_for_function(
        "(text) => document.querySelector('.said').textContent === text", arg=f"{path.name} is saved"
    )
    return path


def given(visitor: Any, *files: Path) -> None:
    """Give files to the page, one after the other, as if each was dropped on it."""
    for file in files:
        visitor.page.locator("input[type=file]").first.set_input_files(str(file))


def opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data)).convert("RGBA")


def test_layers_openraster_and_sample_are_saved_and_read_again(
    visit: Any, picture: Path, thing: tuple[float, float], tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.dragged(picture, thing)
    page.on("dialog", lambda dialog: dialog.accept("The <eagle>"))
    page.get_by_role("option", name="Region 1", exact=True).dblclick()
    page.get_by_label(SHOWS).fill("an eagle in the sky")
    page.get_by_text("Export", exact=True).click()

    layers = saved(visitor, "Save layers (zip)", tmp_path)
    asked = parse_instruction(visitor.value("window.dragflow.instruction().then(JSON.stringify)"), "page")
    shown = draw_preview(resolve(load_image(picture).pixels, asked), texture=True).astype(int)
    with ZipFile(layers) as file:
        names = [name for name in file.namelist() if name.startswith("layers/")]
        laid = opened(file.read(names[0]))
        for name in names[1:]:
            laid = Image.alpha_composite(laid, opened(file.read(name)))
        assert "masks/1-the-eagle.png" in file.namelist()
    assert np.abs(np.asarray(laid)[..., :3] - shown).max() <= 4

    with ZipFile(saved(visitor, "Save OpenRaster", tmp_path)) as file:
        stack = ElementTree.fromstring(file.read("stack.xml"))
        assert next(layer.attrib["name"] for layer in stack.iter("layer")) == "The <eagle>"
        assert np.abs(np.asarray(opened(file.read("mergedimage.png")))[..., :3] - shown).max() <= 4

    page.get_by_text("ReD Bench sample", exact=True).click()
    page.get_by_label("Sample: what the edit does").fill("it has flown on")
    page.get_by_label("Sample: task").click()
    page.get_by_role("option", name="transformation").click()
    page.get_by_label("Sample: points").fill("10,20 > 30,40; 50.5,60 > 70,80")
    with ZipFile(saved(visitor, "Save a ReD Bench sample", tmp_path)) as file:
        file.extractall(tmp_path / "sample")
        assert b'"transformation"' in file.read("red_bench/instruction.json")
    sample = load_red_bench(tmp_path / "sample" / "red_bench")
    assert (sample.instruction.prompt, sample.instruction.edit_prompt) == ("an eagle in the sky", "it has flown on")
    assert (sample.begin_points, sample.target_points) == (((10, 20), (50.5, 60)), ((30, 40), (70, 80)))
    assert np.array_equal(sample.instruction.operations[0].region.array, visitor.mask())  # pyright: ignore[reportAttributeAccessIssue]

    page.get_by_label("Sample: points").fill("10,20 30,40")
    visitor.press("Save a ReD Bench sample")
    page.wait_for_function("() => document.querySelector('.said').textContent.includes('is not a pair of points')")


def test_a_dropped_result_is_restored_and_runs_to_the_same_bytes(
    visit: Any, picture: Path, thing: tuple[float, float], tmp_path: Path
) -> None:
    first = visit()
    first.dragged(picture, thing)
    first.preset("fast")
    first.page.get_by_label(SHOWS).fill("an eagle")
    first.page.get_by_label("Seed").fill("3")
    first.page.get_by_label("Seed").blur()
    first.press("Run")
    first.page.wait_for_selector(RESULTS, timeout=LONG)
    first.wait("!c.running")
    result = saved(first, "Save the result", tmp_path)
    first.page.get_by_text("Export", exact=True).click()
    with ZipFile(saved(first, "Save everything", tmp_path)) as file:
        assert file.read("result.png") == result.read_bytes()
        assert {"layers.ora", "red_bench/instruction.json"} <= set(file.namelist())

    second = visit()
    page = second.page
    said = page.locator(".recipe p")
    given(second, result)
    said.wait_for()
    assert said.inner_text().startswith(
        "This picture was made by dragflow. It asks for the model nano, the preset fast"
    )
    assert "the seed 3." in said.inner_text()
    assert "(256 x 256)" in said.inner_text()
    other = tmp_path / "other.png"
    Image.new("RGB", (256, 256)).save(other)
    given(second, other)
    page.wait_for_function("() => document.querySelector('.recipe').textContent.includes('its pixels differ')")
    assert page.get_by_role("button", name="Use it anyway").is_visible()
    Image.new("RGB", (100, 80)).save(tmp_path / "small.png")
    given(second, tmp_path / "small.png")
    page.wait_for_function("() => document.querySelector('.recipe').textContent.includes('is 100 x 80')")
    assert not page.get_by_role("button", name="Use it anyway").is_visible()
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" and "v1/pictures" in r.url else None)
    given(second, picture)
    second.wait("c.preview")
    assert len(sent) == 1
    assert page.locator(".recipe").inner_text() == ""
    assert second.words() == "Region 1 moves 50 px to the right."
    page.wait_for_function("() => window.dragflow.choices.preset === 'fast' && window.dragflow.choices.seed === 3")
    assert page.get_by_label(SHOWS).input_value() == "an eagle"
    second.press("Run")
    page.wait_for_selector(RESULTS, timeout=LONG)
    second.wait("!c.running")
    assert second.blob("window.dragflow.results.current.after") == result.read_bytes()

    page.keyboard.press("Escape")
    page.locator(".dragflow canvas").focus()
    page.keyboard.press("v")
    page.keyboard.press("ArrowRight")
    assert second.words() == "Region 1 moves 51 px to the right."
    (changed,) = second.instruction()["operations"]
    (before,) = load_recipe(result).instruction.operations
    assert changed["motion"]["to"][0] != before.motion.to[0]  # pyright: ignore[reportAttributeAccessIssue, reportOptionalSubscript]


def test_a_result_can_be_opened_as_a_picture_or_used_with_another_source(
    visit: Any, picture: Path, tmp_path: Path
) -> None:
    import dragflow

    square = np.zeros((256, 256), np.bool_)
    square[100:140, 60:100] = True
    post = np.zeros_like(square)
    post[82:95, 60:120] = True
    turned = dragflow.Operation(square, dragflow.Rotate((128, 128), None, 30, "relocation"), behind=post)
    stretched = dragflow.Operation(dragflow.Box(10, 10, 40, 40), dragflow.Scale((10, 10), (1.5, 1.0)), cut="hard")
    asked = dragflow.Instruction([turned, stretched], "a sky", editable=square | post, editable_mode="extend")
    result = tmp_path / "result.png"
    dragflow.Editor.load("dummy").open(picture).edit(asked, "paste").save(result)

    visitor = visit()
    page = visitor.page
    given(visitor, result)
    said = page.locator(".recipe p")
    said.wait_for()
    assert "asks for the model dummy" in said.inner_text()
    assert "This server does not offer that model" in said.inner_text()
    other = tmp_path / "other.png"
    Image.fromarray(np.asarray(Image.open(picture))[::-1]).save(other)
    given(visitor, other)
    page.get_by_role("button", name="Use it anyway").click()
    visitor.wait("c.document.state.regions.length === 3")
    assert visitor.words() == (
        "Region 1 turns 30 degrees clockwise, behind Front 1. "
        "Region 2 becomes 150 % of its width and 100 % of its height."
    )
    told = parse_instruction(visitor.value("window.dragflow.instruction().then(JSON.stringify)"), "page")
    recipe = load_recipe(result).instruction
    ours, theirs = (resolve(load_image(picture).pixels, each) for each in (told, recipe))
    assert np.array_equal(ours.area, theirs.area)
    for one, two in zip(ours.operations, theirs.operations, strict=True):
        assert (one.motion, one.handle, one.cut) == (two.motion, two.handle, two.cut)
        assert np.array_equal(one.mask, two.mask)
        assert (one.front is None) == (two.front is None)
        if one.front is not None and two.front is not None:
            assert np.array_equal(one.front, two.front)

    given(visitor, result)
    said.wait_for()
    page.get_by_role("button", name="Open it as a picture").click()
    visitor.wait("c.document.state.regions.length === 0")
    assert page.locator(".recipe").inner_text() == ""


def test_the_page_says_why_everything_has_no_sample(
    visit: Any, picture: Path, thing: tuple[float, float], tmp_path: Path
) -> None:
    visitor = visit()
    visitor.dragged(picture, thing)
    visitor.value("c.move({ motion: { dx: 20, dy: 0, degrees: 30, sx: 1, sy: 1 } })")
    visitor.page.get_by_text("Export", exact=True).click()
    with visitor.page.expect_download() as download:
        visitor.press("Save everything")
    download.value.save_as(tmp_path / "all.zip")
    said = visitor.said("is saved")
    assert said.startswith("eagle-everything.zip is saved, without a ReD Bench sample: operation 0: ReD Bench has")
    with ZipFile(tmp_path / "all.zip") as file:
        assert file.read("red_bench/missing.txt").decode().strip() in said


def test_a_picture_that_was_asked_about_and_forgotten_is_sent_again(visit: Any, picture: Path) -> None:
    visitor = visit()
    opened = visitor.page.evaluate(
        """async (png) => {
          const { server } = window.dragflow;
          const file = await (await fetch('data:image/png;base64,' + png)).blob();
          const { id } = await server.about(file);
          await fetch(`v1/pictures/${id}`, { method: 'DELETE' });
          const { image } = await server.open(file);
          return [image.width, server.id !== id];
        }""",
        base64.b64encode(picture.read_bytes()).decode(),
    )
    assert opened == [256, True]
    visitor.pardon("404")
