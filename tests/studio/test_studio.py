"""The studio in a browser: mark, drag, run, compare, export; by mouse, by touch, by keyboard."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from studio_pages import decoded, middle

from dragflow.cli.app import main

pytestmark = pytest.mark.browser
ESTIMATE = ".studio-estimate"


def test_a_person_drags_and_gets_the_edit(visit: Any, scene: Any, picture: Path, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.open(picture)
    select = page.get_by_role("button", name="Select", exact=True)
    expect(select).to_have_attribute("title", re.compile("colours and edges$"))  # said once the server has answered
    x, y = middle(scene.mask)
    page.mouse.click(*visitor.at(x, y))
    visitor.wait("c.ghost && !c.ghost.ghost.coarse")
    found = visitor.mask()
    assert (found & scene.mask).sum() > 0.85 * (found | scene.mask).sum()
    visitor.drag((x, y), (x + 60, y + 20))
    assert visitor.words() == "Region 1 moves 60 px to the right and 20 px down."
    visitor.wait("c.preview")

    top = found.nonzero()[0].min()
    knob = visitor.value("28 / c.view.scale")
    left, right = found.nonzero()[1].min(), found.nonzero()[1].max()
    handle = ((left + right) / 2 + 60, top - knob + 20)
    visitor.drag(handle, (handle[0] + 25, handle[1] + 5))
    assert "clockwise" in visitor.words()
    page.keyboard.press("Control+z")
    assert "clockwise" not in visitor.words()
    page.keyboard.press("Control+Shift+z")
    assert "clockwise" in visitor.words()
    page.keyboard.press("Control+z")

    page.get_by_label("Preset").click()
    page.get_by_role("option", name="fast").click()
    page.wait_for_function(f"() => document.querySelector('{ESTIMATE}').textContent.includes('here')")
    page.get_by_role("button", name="Run", exact=True).click()
    visitor.wait("c.running && c.running.share > 0.1")
    page.wait_for_selector(".results img", timeout=120_000)
    visitor.wait("c.judging && !c.running")
    page.wait_for_function(f"() => /^About .* s, .* GiB here/.test(document.querySelector('{ESTIMATE}').textContent)")
    share = visitor.value("c.judging.share")
    page.evaluate("scrollTo(0, 0)")  # from the widgets back to the picture
    visitor.drag((128, 128), (200, 128))
    assert visitor.value("c.judging.share") > share + 0.2

    result = visitor.blob("window.dragflow.results.current.after")
    (tmp_path / "result.png").write_bytes(result)
    again = tmp_path / "again.png"
    with pytest.raises(SystemExit) as ended:
        main(["edit", str(picture), "--from", str(tmp_path / "result.png"), "--model", "nano", "-o", str(again)])
    assert not ended.value.code
    assert again.read_bytes() == result

    page.get_by_role("button", name="Continue from the result").click()
    visitor.wait("!c.judging && c.document.state.regions.length === 0")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(visitor.blob("window.dragflow.shown")))), edited(result))


def edited(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((None, None, None), "How long this takes here is not known yet. The model is loaded first."),
        ((None, 0, 900), "How long this takes here is not known yet."),
        ((12.4, 0, 3174), "About 12 s, 3.1 GiB here."),
        ((0.3, 7, None), "About 1 s here. The model is loaded first: about 7 s."),
        ((150, 0, 512), "About 3 min, 0.5 GiB here."),
        ((9000, 0, None), "About 2.5 h here."),
    ],
)
def test_an_estimate_is_told_in_words(visit: Any, said: tuple[float | None, ...], words: str) -> None:
    fields = dict(zip(("seconds", "load_seconds", "memory_mib"), said, strict=True))
    script = "async (said) => (await import('/studio-files/page/estimate.js')).words(said)"
    assert visit().page.evaluate(script, fields) == words


def test_a_run_is_stopped_and_the_next_one_ends(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.open(picture)
    x, y = middle(scene.mask)
    page.mouse.click(*visitor.at(x, y))
    visitor.wait("c.document.region")
    visitor.drag((x, y), (x + 50, y))
    visitor.preset("default")
    run = page.get_by_role("button", name="Run", exact=True)
    run.click()
    visitor.wait("c.running && c.running.share > 0.1")
    page.get_by_role("button", name="Stop", exact=True).click()
    visitor.wait("!c.running")
    assert page.locator(".said").first.inner_text() == "stopped"
    page.get_by_label("Preset").click()
    page.get_by_role("option", name="fast").click()
    run.click()
    page.wait_for_selector(".results img", timeout=120_000)


def test_work_survives_a_reload_and_two_visitors_see_their_own(visit: Any, scene: Any, picture: Path) -> None:
    first, second = visit(), visit()
    first.open(picture)
    first.tool("Brush")
    first.drag(middle(scene.mask), (120, 60))
    before = first.mask()
    first.page.wait_for_timeout(1500)
    first.page.reload()
    first.page.wait_for_selector(".studio.open")
    first.wait("c.document.region")
    assert np.array_equal(first.mask(), before)
    assert second.value("window.dragflow.shown") is None


def test_what_is_wrong_is_said_in_a_sentence(visit: Any, tmp_path: Path, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    page.get_by_role("button", name="Run", exact=True).click()
    said = page.locator(".said").first
    page.wait_for_function("() => document.querySelector('.said').textContent")
    assert said.inner_text() == "open a picture first"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "bad.png"))
    page.wait_for_function("() => document.querySelector('.said').textContent.includes('not in a format')")
    visitor.pardon("400")
    visitor.open(picture)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("() => document.querySelector('.said').textContent.includes('mark a region')")


def test_the_keyboard_alone_does_it(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.open(picture)
    page.locator(".dragflow canvas").focus()
    x, y = middle(scene.mask)
    steps = {"ArrowRight": x - 128, "ArrowLeft": 128 - x, "ArrowDown": y - 128, "ArrowUp": 128 - y}
    for key, count in steps.items():
        for _ in range(int(max(count, 0)) // 10):
            page.keyboard.press(f"Shift+{key}")
        for _ in range(int(max(count, 0)) % 10):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    visitor.wait("c.document.region")
    page.keyboard.press("v")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    assert visitor.words() == "Region 1 moves 30 px to the right and 1 px up."
    page.keyboard.press("Escape")
    assert visitor.words() == "Drag the region to where it is to go."
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")


def test_the_focus_stays_where_the_keyboard_is(visit: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.open(picture)
    visitor.tool("Box")
    visitor.drag((20, 20), (60, 60))
    page.get_by_role("button", name="Start another region").focus()
    page.keyboard.press("Enter")
    focused = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    assert page.evaluate(focused) == "Start another region"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "Region 1"
    assert visitor.value("c.document.state.active") == 0
    for box in page.locator(".dragflow button, .dragflow input, .dragflow select, .dragflow canvas").all():
        assert box.evaluate("(e) => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent")


def test_fingers_mark_and_pinch_on_a_phone(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit("phone")
    page = visitor.page
    visitor.open(picture)
    page.touchscreen.tap(*visitor.at(*middle(scene.mask)))
    visitor.wait("c.document.region")
    before = visitor.value("c.view.scale")
    box = page.locator(".dragflow canvas").bounding_box()
    session = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, spread in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", 0)):
        points = [] if kind == "touchEnd" else [{"x": x - spread, "y": y, "id": 1}, {"x": x + spread, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert visitor.value("c.view.scale") > 1.5 * before
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    visitor.wait("c.ghost && !c.ghost.ghost.coarse")
    page.wait_for_timeout(200)
    beyond = "[...document.querySelectorAll('.dragflow, .dragflow *')].map((e) => e.getBoundingClientRect())"
    assert page.evaluate(f"{beyond}.filter((box) => box.width && box.right > window.innerWidth + 1).length") == 0


def test_a_region_goes_behind_what_another_one_marks(visit: Any, tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(150, 175, (120, 200, 3)).astype(np.uint8)
    shown[:, 120:132] = (60, 40, 20)
    shown[45:75, 30:60] = (40, 90, 210)
    Image.fromarray(shown).save(tmp_path / "ball.png")
    visitor = visit()
    visitor.open(tmp_path / "ball.png")
    order = visitor.page.get_by_label("Order")
    visitor.tool("Box")
    visitor.drag((30, 45), (59, 74))
    visitor.page.get_by_role("button", name="Start another region").click()
    visitor.drag((120, 0), (131, 119))
    visitor.page.get_by_role("option", name="Region 1", exact=True).click()
    visitor.tool("Move")
    visitor.drag((45, 60), (127, 60))
    visitor.wait("c.preview")
    assert "behind" not in visitor.instruction()["operations"][0]
    order.select_option("behind Region 2")
    visitor.wait("c.preview")
    assert visitor.words() == "Region 1 moves 82 px to the right, behind Region 2."
    (operation,) = visitor.instruction()["operations"]
    front = decoded(operation["behind"]["png"])[..., 0] > 127
    marked = (shown == (60, 40, 20)).all(axis=2)
    assert not (front & ~marked).any()
    assert front[:100, 121:131].all()  # what was found in the box, to a pixel
    pixel = (
        "(() => {{ const t = new OffscreenCanvas(200, 120).getContext('2d'); t.drawImage(c.preview, 0, 0); "
        "return [...t.getImageData({}, 60, 1, 1).data]; }})()"
    )
    assert visitor.value(pixel.format(125))[:3] == [60, 40, 20]
    assert visitor.value(pixel.format(116))[2] > 200
    order.select_option("in front")
    visitor.wait("c.preview")
    assert visitor.value(pixel.format(125))[2] > 200
    order.select_option("behind what is there")
    visitor.wait("c.preview")
    assert visitor.value(pixel.format(125))[:3] == [60, 40, 20]
    assert visitor.complaints == []


def test_what_was_guessed_is_shown_and_is_what_runs(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.open(picture)
    kind, cut = (page.get_by_label(name).locator("option").first for name in ("Kind", "Cut out"))
    x, y = middle(scene.mask)
    page.mouse.click(*visitor.at(x, y))
    visitor.wait("c.settled")
    assert kind.inner_text() == "guessed: separate object"
    assert cut.inner_text().startswith("snap: ")
    visitor.drag((x, y), (x + 60, y + 20))
    (operation,) = json.loads(visitor.value("c.instruction().then(JSON.stringify)"))["operations"]
    assert operation["motion"]["label"] == "relocation"
    assert operation["cut"] == "soft"
    ghost = visitor.value("c.settled[0].operation.region.png")
    assert np.array_equal(decoded(operation["region"]["png"]), decoded(ghost))

    # A piece of something is a part while it is dragged, and stays one, however far it is turned then.
    visitor.page.get_by_role("button", name="Start another region").click()
    visitor.tool("Box")
    visitor.drag((8, 8), (30, 30))
    visitor.wait("c.settled && c.settled.length === 2")
    assert kind.inner_text() == "guessed: part of an object"
    visitor.value("c.move({ motion: { dx: 0, dy: 0, degrees: 120, sx: 1, sy: 1 } })")
    asked = json.loads(visitor.value("c.instruction().then(JSON.stringify)"))["operations"]
    assert [one["motion"]["label"] for one in asked] == ["relocation", "deformation"]
    kind.locator("..").select_option("relocation")
    asked = json.loads(visitor.value("c.instruction().then(JSON.stringify)"))["operations"]
    assert [one["motion"]["label"] for one in asked] == ["relocation", "relocation"]


def test_one_variant_alone_is_offered_where_no_noise_is_drawn(visit: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    number = page.get_by_label("number input for Variants")
    asked: list[str] = []

    def offered(why: str) -> None:
        page.get_by_text(why).wait_for()
        assert number.is_disabled()
        assert number.input_value() == "1"

    offered("Preset bridge draws no noise, so all variants would be the same picture: ask for one, or take")
    page.on("request", lambda request: asked.append(request.url))
    visitor.preset("regiondrag")
    page.wait_for_function("() => window.dragflow.choices.preset === 'regiondrag'")
    page.locator("input[aria-label='number input for Variants']:enabled").fill("3")
    number.press("Tab")
    page.wait_for_function("() => window.dragflow.choices.variants === 3")
    visitor.preset("fast")
    offered("Preset fast draws no noise")
    page.wait_for_function("() => window.dragflow.choices.variants === 1")
    assert not asked

    changed = {"preset": "fast", "settings": ["start.repair=0.5"], "alike": None}
    page.evaluate("(changed) => window.dragflow.override(changed)", changed)
    page.locator("input[aria-label='number input for Variants']:enabled").wait_for()
    visitor.open(picture)
    offered("Preset fast draws no noise")


def test_variants_are_shown_side_by_side_and_continuing_is_undone(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.dragged(picture, middle(scene.mask))
    visitor.preset("regiondrag")
    page.locator("input[aria-label='number input for Variants']:enabled").fill("2")
    page.get_by_label("number input for Variants").press("Tab")
    visitor.press("Run")
    page.wait_for_function("() => document.querySelectorAll('.results img').length === 2", timeout=240_000)
    visitor.wait("c.judging && !c.running")
    page.get_by_label("side by side").check()
    visitor.wait("c.judging.way === 'side by side'")
    assert visitor.value("c.judging.sheet.map((one) => one.text)") == ["before", "seed 0", "seed 1"]
    cells = visitor.value("[0, 1, 2].map((i) => c.judging.cell(i))")
    assert all(one["width"] == one["height"] > 100 for one in cells)
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.click(*visitor.at(cells[1]["left"] + 60, cells[1]["top"] + 60))
    visitor.wait("c.judging.way === 'slider'")
    assert visitor.value("window.dragflow.results.chosen") == 0
    share = visitor.value("c.judging.share")
    page.keyboard.press("Shift+ArrowRight")
    assert visitor.value("c.judging.share") > share

    mask, source = visitor.mask(), visitor.blob("window.dragflow.upright")
    visitor.press("Continue from the result")
    visitor.wait("!c.judging && c.document.state.regions.length === 0")
    result = visitor.blob("window.dragflow.upright")
    assert result != source
    visitor.tool("Undo")
    visitor.wait("c.document.state.regions.length === 1")
    assert visitor.blob("window.dragflow.upright") == source
    assert np.array_equal(visitor.mask(), mask)
    assert visitor.words() == "Region 1 moves 50 px to the right."
    assert page.locator(".results img").count() == 2
    visitor.tool("Redo")
    visitor.wait("c.document.state.regions.length === 0")
    assert visitor.blob("window.dragflow.upright") == result

    page.wait_for_timeout(1500)
    page.reload()
    page.wait_for_selector(".studio.open")
    page.locator(".results button").nth(1).click()
    visitor.wait("c.judging")
    visitor.press("Restore the result's edit")
    visitor.wait("c.document.state.regions.length === 1 && !c.judging")
    assert visitor.blob("window.dragflow.upright") == source
    assert visitor.words() == "Region 1 moves 50 px to the right."
    page.wait_for_function("() => window.dragflow.choices.seed === 1 && window.dragflow.choices.variants === 1")
    assert visitor.value("window.dragflow.choices.preset") == "regiondrag"
    page.locator(".dragflow canvas").focus()
    page.keyboard.press("Control+z")
    visitor.wait("c.document.state.regions.length === 0")
    page.keyboard.press("Control+z")
    visitor.wait("c.document.state.regions.length === 1")


def test_redo_ends_where_something_else_was_made(visit: Any, scene: Any, picture: Path) -> None:
    visitor = visit()
    visitor.dragged(picture, middle(scene.mask))
    visitor.value("window.dragflow.openPicture(window.dragflow.shown, 'again')")
    visitor.wait("c.document.state.regions.length === 0")
    visitor.tool("Undo")
    visitor.wait("c.document.state.regions.length === 1 && window.dragflow.journey.redoable")
    visitor.press("Put back")
    visitor.wait("!window.dragflow.journey.redoable")


@pytest.mark.parametrize("act", ["Undo", "Redo"])
def test_undo_closes_a_comparison_at_once(visit: Any, picture: Path, act: str) -> None:
    visitor = visit()
    visitor.open(picture)
    visitor.tool("Box")
    visitor.drag((20, 20), (60, 60))
    shown = visitor.words()
    if act == "Redo":
        visitor.tool("Undo")
        shown = visitor.words()
    visitor.page.evaluate(
        """() => { const { painter } = window.dragflow.canvas; const draw = painter.draw.bind(painter);
           painter.draw = (now) => { window.drawn = painter.canvas.judging?.way ?? 'marks'; draw(now); }; }"""
    )
    visitor.value("c.compare(c.picture, c.picture, 'slider')")
    visitor.wait("window.drawn === 'slider'")
    assert visitor.words() == "Before on the left, after on the right. Escape resumes marking."
    # The document does not change: the comparison is closed anyway, and the marks are drawn.
    visitor.value("(c.document.undo = c.document.redo = () => false, c.panel.undo.disabled = false)")
    visitor.value("(c.panel.redo.disabled = false)")
    visitor.tool(act)
    visitor.wait("window.drawn === 'marks'")
    assert visitor.words() == shown
    visitor.page.locator(".dragflow canvas").focus()
    visitor.page.keyboard.press("Escape")
    assert visitor.complaints == []


def test_options_are_kept_while_a_region_is_dragged(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.open(picture)
    visitor.tool("Box")
    for number, left in enumerate((20, 120)):
        if number:
            visitor.press("Start another region")
        visitor.drag((left, 20), (left + 40, 60))
    visitor.value("(window.options = [...c.panel.order.select.options], null)")
    visitor.tool("Move")
    visitor.drag((140, 40), (150, 90), (160, 100))
    kept = "window.options.every((option, i) => option === c.panel.order.select.options[i])"
    assert visitor.value(f"window.options.length === 4 && {kept}")
    visitor.value("(c.document.change({ active: 0 }, false), c.move({ name: 'Boat' }))")
    visitor.value("(c.document.change({ active: 1 }, false), c.moved())")
    assert visitor.page.get_by_label("Order").locator("option").last.inner_text() == "behind Boat"
