"""Hundreds of senseless acts on the page: none causes an error, and the page is usable afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio_pages import Visitor

from dragflow.world import drag_case

pytestmark = pytest.mark.browser

STEPS, SEEDS = 300, (1, 2)
KEYS = [
    *("b", "e", "s", "v", "l", "p", "r", "a", "0", "1", "[", "]", "?", "+", "-", " ", "x"),
    *("Enter", "Escape", "Tab", "Delete", "Backspace", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"),
    *("Shift+ArrowLeft", "Shift+ArrowDown", "Control+z", "Control+Shift+z", "Control+a", "Alt+s", "Home", "End"),
]
NONSENSE = ["", "-", "1e9", "-1e9", "0", "NaN", "0.0001", "99999999999999999999"]
DROP = """(name) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([name], name)); else data.setData('text/plain', 'https://localhost/picture.png');
  document.querySelector('.studio').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
}"""

USE = """([selector, share, value]) => {
  const found = [...document.querySelectorAll(selector)].filter((one) => one.offsetParent && !one.disabled);
  const one = found[Math.floor(share * found.length)];
  if (one?.localName === 'button') return one.click();
  if (one?.localName === 'select') one.selectedIndex = Math.floor(share * 1000) % one.options.length;
  else if (one) one.value = value;
  one?.dispatchEvent(new Event('change'));
}"""
"""Uses a button or a field that can be seen, in one go: the page changes all the time."""


class Fuzz:
    """One visitor who does anything at all, the same for the same seed."""

    def __init__(self, visitor: Visitor, files: list[Path], seed: int) -> None:
        self.visitor, self.page, self.files = visitor, visitor.page, files
        self.random = random.Random(seed)
        self.acts: list[tuple[int, Callable[[], None]]] = [
            (6, self.click),
            (8, self.drag),
            (2, self.wheel),
            (8, self.key),
            (6, self.tool),
            (4, self.field),
            (2, self.button),
            (1, self.file),
            (1, self.drop),
            (1, self.resize),
        ]

    def step(self) -> None:
        weights, acts = zip(*self.acts, strict=True)
        self.random.choices(acts, weights)[0]()

    def point(self) -> tuple[float, float]:
        box = self.page.locator(".dragflow canvas").bounding_box()
        assert box is not None
        across, down = self.random.uniform(-0.1, 1.1), self.random.uniform(-0.1, 1.1)
        return box["x"] + across * box["width"], max(1, box["y"] + down * box["height"])

    def click(self) -> None:
        self.page.mouse.click(
            *self.point(), click_count=self.random.choice([1, 1, 2]), button=self.random.choice(["left", "middle"])
        )

    def drag(self) -> None:
        self.page.mouse.move(*self.point())
        self.page.mouse.down()
        for _ in range(self.random.randint(1, 4)):
            self.page.mouse.move(*self.point(), steps=2)
        if self.random.random() < 0.2:
            self.page.keyboard.press(self.random.choice(KEYS))
        self.page.mouse.up()

    def wheel(self) -> None:
        self.page.mouse.move(*self.point())
        self.page.mouse.wheel(0, self.random.choice([-2000, -200, 200, 2000]))

    def key(self) -> None:
        self.page.keyboard.press(self.random.choice(KEYS))

    def tool(self) -> None:
        self.any_of(".dragflow button")

    def field(self) -> None:
        self.any_of(".dragflow input[type=number], .dragflow select", self.random.choice(NONSENSE))

    def button(self) -> None:
        self.any_of(".gradio-container button:not(.dragflow button)")

    def any_of(self, selector: str, value: str | None = None) -> None:
        self.page.evaluate(USE, [selector, self.random.random(), value])

    def file(self) -> None:
        self.page.locator("input[type=file]").first.set_input_files(str(self.random.choice(self.files)))

    def drop(self) -> None:
        self.page.evaluate(DROP, self.random.choice(["", "notes.txt", "picture.png"]))

    def resize(self) -> None:
        self.page.set_viewport_size(self.random.choice([{"width": 1440, "height": 900}, {"width": 390, "height": 844}]))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for number, size in enumerate([(256, 256), (64, 300), (1, 1)]):
        scene = drag_case(309 + number, "translate", 256, "test").source
        Image.fromarray(scene[: size[0], : size[1]]).save(tmp_path / f"{number}.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize("seed", SEEDS)
def test_senseless_acts_cause_no_errors(visit: Any, files: list[Path], seed: int) -> None:
    visitor = visit()
    visitor.open(files[0])
    fuzz = Fuzz(visitor, files, seed)
    for _ in range(STEPS):
        fuzz.step()
    page = visitor.page
    page.set_viewport_size({"width": 1440, "height": 900})
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".studio.ready")
    scene = drag_case(309, "translate", 256, "test")
    ys, xs = np.nonzero(scene.mask)
    Image.fromarray(scene.source).save(files[0].with_name("last.png"))
    visitor.tool("Select")
    visitor.dragged(files[0].with_name("last.png"), (float(xs.mean().round()), float(ys.mean().round())))
    visitor.wait("c.preview")
    visitor.pardon("status of 400", "status of 404", "status of 409")  # which the page has told in a sentence
