"""What a visitor of the studio does, in coordinates of the picture."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

_CANVAS = "window.dragflow.canvas"


class Visitor:
    """A page of the studio, and everything that went wrong on it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)
        page.goto(address)
        page.wait_for_selector(".studio.ready")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.complaints.append(f"asked {request.url}")

    def pardon(self, *parts: str) -> None:
        """Complaints that hold one of these are expected: the browser's own lines about requests that failed."""
        self.complaints = [text for text in self.complaints if not any(part in text for part in parts)]

    def said(self, part: str, timeout: float = 30_000) -> str:
        """The page's sentence, once it holds this part."""
        self.page.wait_for_function(
            "(part) => document.querySelector('.said').textContent.includes(part)", arg=part, timeout=timeout
        )
        return self.page.locator(".said").first.inner_text()

    def dragged(self, file: Path, at: tuple[float, float], by: tuple[float, float] = (50, 0)) -> None:
        """Open a picture, click on a thing, drag it."""
        self.open(file)
        self.page.mouse.click(*self.at(*at))
        self.wait("c.document.region")
        self.drag(at, (at[0] + by[0], at[1] + by[1]))

    def preset(self, name: str) -> None:
        """Choose a preset."""
        self.page.get_by_label("Preset").click()
        self.page.get_by_role("option", name=name).click()

    def press(self, name: str) -> None:
        """A button of the page."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def open(self, file: Path) -> None:
        """Open a picture from disk."""
        self.page.locator("input[type=file]").first.set_input_files(str(file))
        self.page.wait_for_selector(".studio.open")
        self.page.wait_for_function(f"{_CANVAS}.view && {_CANVAS}.surface.width > 1")
        self.page.wait_for_timeout(150)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture is on the screen."""
        box = self.page.locator(".dragflow canvas").bounding_box()
        assert box is not None
        scale, left, top = self.page.evaluate(f"[{_CANVAS}.view.scale, {_CANVAS}.view.left, {_CANVAS}.view.top]")
        return box["x"] + (x + 0.5) * scale + left, box["y"] + (y + 0.5) * scale + top

    def zoom(self, scale: float, x: float, y: float) -> None:
        """Show the picture at a scale with a point of it in the middle of the canvas."""
        self.page.evaluate(
            """([scale, x, y]) => { const c = window.dragflow.canvas;
               c.view.zoom(scale, 0, 0);
               c.view.left = c.surface.clientWidth / 2 - (x + 0.5) * scale;
               c.view.top = c.surface.clientHeight / 2 - (y + 0.5) * scale; c.redraw(); }""",
            [scale, x, y],
        )

    def tool(self, name: str) -> None:
        """Press a button of the toolbar."""
        self.page.locator(".tools").get_by_role("button", name=name, exact=True).click()

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first point, move through the others, let go."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=5)
        mouse.up()

    def wait(self, expression: str) -> None:
        """Until an expression about the canvas `c` is true."""
        self.page.wait_for_function(f"() => {{ const c = {_CANVAS}; return {expression}; }}", timeout=60_000)

    def value(self, expression: str) -> Any:
        """Of an expression about the canvas `c`; may be a promise."""
        return self.page.evaluate(f"async () => {{ const c = {_CANVAS}; return await ({expression}); }}")

    def mask(self) -> Any:
        """The active region's mask as the server would get it."""
        return decoded(self.value("c.document.region.mask.png()"))[..., 0] > 127

    def instruction(self) -> dict[str, Any]:
        """What an edit would be asked with."""
        return json.loads(self.value("c.document.instruction().then(JSON.stringify)"))

    def words(self) -> str:
        """The line that says what will happen."""
        return self.page.locator(".status").inner_text()

    def blob(self, expression: str) -> bytes:
        """The bytes of a blob."""
        return base64.b64decode(
            self.value(
                f"({expression}).arrayBuffer().then((b) => {{ let t = ''; for (const x of new Uint8Array(b)) "
                "t += String.fromCharCode(x); return btoa(t); })"
            )
        )


def middle(mask: Any) -> tuple[float, float]:
    """The centroid (x, y) of a mask in whole pixels."""
    ys, xs = np.nonzero(mask)
    return float(round(xs.mean())), float(round(ys.mean()))


def decoded(png: str) -> Any:
    """A picture from base64, (h, w, 3)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def stroked(size: tuple[int, int], points: list[tuple[float, float]], radius: float) -> Any:
    """The pixels of a picture of `size` (h, w) whose centres are within `radius` of a line through points."""
    ys, xs = np.mgrid[: size[0], : size[1]].astype(float)
    found = np.zeros(size, np.bool_)
    for (ax, ay), (bx, by) in zip([points[0], *points[:-1]], points, strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = np.clip(((xs - ax) * (bx - ax) + (ys - ay) * (by - ay)) / (length or 1), 0, 1) if length else 0
        found |= np.hypot(xs - ax - along * (bx - ax), ys - ay - along * (by - ay)) <= radius
    return found
