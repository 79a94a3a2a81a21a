"""The studio's canvas as a widget of a node: what is drawn there is the node's text, which its own code reads."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfy_page import page as served
from PIL import Image

pytestmark = pytest.mark.browser

AT = """([x, y]) => {
  const { canvas } = window.node.dragflow;
  const box = canvas.surface.getBoundingClientRect();
  const place = canvas.view.toScreen({ x, y });
  const scale = box.width / canvas.surface.offsetWidth;
  return [box.left + place.x * scale, box.top + place.y * scale];
}"""
SHOWN = "() => window.node?.dragflow?.canvas.picture"


class Widget:
    """The page, in coordinates of the picture."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def at(self, x: float, y: float) -> tuple[float, float]:
        return tuple(self.page.evaluate(AT, [x, y]))

    def drag(self, start: tuple[float, float], end: tuple[float, float], meanwhile: str = "() => {}") -> None:
        """Drag as a hand does, which knows where things were when it began."""
        mouse = self.page.mouse
        halfway = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        places = [self.at(*point) for point in (start, halfway, end)]
        mouse.move(*places[0])
        mouse.down()
        mouse.move(*places[1], steps=4)
        self.page.evaluate(meanwhile)
        mouse.move(*places[2], steps=4)
        mouse.up()

    def select(self, x: float, y: float) -> None:
        """Click on a thing, and wait until the fields for it are there."""
        self.page.mouse.click(*self.at(x, y))
        self.wait("() => window.node.dragflow.canvas.settled")

    def drawn(self) -> dict[str, Any]:
        """What the workflow gets, as it is queued."""
        return json.loads(self.page.evaluate("async () => window.drawn.serializeValue()") or "{}")

    def wait(self, what: str) -> None:
        self.page.wait_for_function(what, timeout=60_000)


@pytest.fixture
def widget(pack: Any, folders: Path, browser: Any) -> Iterator[Widget]:
    routes = importlib.import_module(f"{pack.__name__}.nodes.routes")
    web = Path(pack.__file__ or "").parent / "web"
    with served(web, routes.canvas_files(), routes.answered) as address:
        page = browser.new_context(viewport={"width": 900, "height": 700}).new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_function(SHOWN, timeout=60_000)
        yield Widget(page)
        assert not wrong
        page.context.close()


def test_a_drag_on_the_scaled_node_is_the_nodes_instruction(widget: Widget, classes: dict[str, Any]) -> None:
    widget.select(80, 60)
    widget.drag((80, 60), (150, 140))
    given = widget.drawn()
    (operation,) = given["instruction"]["operations"]
    moved = np.subtract(operation["motion"]["to"], operation["handle"])
    assert np.abs(moved - (70, 80)).max() < 2
    assert widget.page.evaluate("window.outside") == []  # the graph around it has seen nothing
    image, _ = classes["LoadImage"]().load("dragflow-eagle.png")
    (plan,) = classes["DragFlowCanvas"]().give(image, json.dumps(given))["result"]
    area, *_ = classes["DragFlowLayers"]().take(image, plan)
    assert area[0, 140, 150] == 1
    assert area[0, 250, 5] == 0


def test_the_picture_stays_under_the_hand_while_the_page_needs_room(widget: Widget) -> None:
    widget.select(80, 60)
    smaller = """async () => {
      const { canvas } = window.node.dragflow;
      const before = canvas.surface.height;
      canvas.surface.style.height = "326px";
      canvas.surface.style.minHeight = "0";
      while (canvas.surface.height === before) await new Promise(requestAnimationFrame);
    }"""
    widget.drag((80, 60), (150, 140), smaller)
    (operation,) = widget.drawn()["instruction"]["operations"]
    assert np.abs(np.subtract(operation["motion"]["to"], operation["handle"]) - (70, 80)).max() < 2
    assert widget.page.evaluate("window.node.dragflow.canvas.view.whole")
    low = widget.page.evaluate(AT, [0, 255])[1] - widget.page.evaluate(AT, [0, 0])[1]
    assert low < 326 * 0.6  # once the hand is off, all of the picture is shown again


def test_what_was_drawn_is_there_when_the_workflow_is_opened_again(widget: Widget) -> None:
    widget.select(80, 60)
    widget.drag((80, 60), (150, 140))
    before = widget.drawn()
    widget.page.evaluate("(drawn) => (sessionStorage.drawn = drawn)", json.dumps(before))
    widget.page.reload()
    widget.wait(SHOWN)
    widget.wait("() => window.node.dragflow.canvas.document.region")
    again = widget.drawn()
    assert again["state"]["regions"] == before["state"]["regions"]
    assert again["instruction"]["operations"][0]["motion"] == before["instruction"]["operations"][0]["motion"]


def test_another_picture_is_shown_and_errors_are_said(widget: Widget, folders: Path) -> None:
    Image.new("RGB", (100, 80), "green").save(folders / "input" / "green.png")
    widget.page.evaluate("() => (window.loader.widgets[0].value = 'green.png [input]')")
    widget.wait("() => window.node.dragflow.canvas.document.width === 100")
    widget.page.evaluate("() => (window.loader.widgets[0].value = 'gone.png')")
    widget.wait("() => document.querySelector('[role=alert]').textContent.includes('gone.png')")
    ran = {"filename": "dragflow-boat.png", "subfolder": "", "type": "input"}
    widget.page.evaluate(
        "(ran) => { window.connected = {}; window.node.onExecuted({ dragflow_picture: [ran] }); }", ran
    )
    widget.wait("() => window.node.dragflow.canvas.document.width === 256")
    widget.wait("() => document.querySelector('[role=alert]').textContent === ''")
