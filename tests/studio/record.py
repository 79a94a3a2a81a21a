"""Record a drag in a real studio as an animation: python tests/studio/record.py docs/images/studio.webp"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from studio_pages import Visitor

from dragflow.pixels.masks import dilate
from dragflow.world import drag_case

SIZE = (1180, 760)
_ADDRESS = "http://127.0.0.1:8764"


def main(out: Path) -> None:
    """Start a studio, drag, run, compare; write the frames."""
    command = [sys.executable, "-c", "from dragflow.cli.app import main; main()", "studio", "--model", "nano"]
    with subprocess.Popen([*command, "--port", "8764", "--no-browser"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
                frames = recorded(Visitor(page, _ADDRESS))
        finally:
            server.terminate()
            server.stdout.read()
    images, durations = zip(*frames, strict=True)
    images[0].save(out, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=70, method=6)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {len(images)} frames")


def recorded(visitor: Visitor) -> list[tuple[Image.Image, int]]:
    """The frames of a drag, each with its milliseconds."""
    frames: list[tuple[Image.Image, int]] = []

    def shot(milliseconds: int) -> None:
        image = Image.open(io.BytesIO(visitor.page.screenshot())).convert("RGB")
        frames.append((image.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.LANCZOS), milliseconds))

    case = drag_case(309, "translate", 512, "test")
    ys, xs = np.nonzero(case.mask)
    x, y = float(xs.mean()), float(ys.mean())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "eagle.png"
        Image.fromarray(case.source).save(path)
        visitor.open(path)
    shot(900)
    visitor.tool("Lasso")
    around(visitor, case.mask, shot)
    visitor.wait("c.ghost && !c.ghost.ghost.coarse")
    visitor.tool("Move")
    shot(900)
    drag(visitor, (x, y), shot)
    visitor.page.mouse.up()
    visitor.wait("c.preview")
    shot(1000)
    page: Any = visitor.page
    page.get_by_role("button", name="Run", exact=True).click()
    page.evaluate("scrollTo(0, 0)")  # the button lies below the canvas
    while not visitor.value("Boolean(c.judging)"):
        shot(250)
        page.wait_for_timeout(300)
    for share in (0.5, 0.35, 0.2, 0.05, 0.05, 0.4, 0.8):
        visitor.value(f"(c.judging.share = {share}, c.redraw())")
        page.wait_for_timeout(60)
        shot(350)
    return frames


def around(visitor: Visitor, mask: Any, shot: Any) -> None:
    """Draw loosely around an object."""
    contours, _ = cv2.findContours(dilate(mask, 7).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[::8, 0].astype(float)
    visitor.page.mouse.move(*visitor.at(*outline[0]))
    visitor.page.mouse.down()
    for number, point in enumerate(outline):
        visitor.page.mouse.move(*visitor.at(*point))
        if number % 10 == 0:
            visitor.page.wait_for_timeout(30)
            shot(70)
    visitor.page.mouse.up()


def drag(visitor: Visitor, start: tuple[float, float], shot: Any) -> None:
    """Take hold of the region and move it in small steps."""
    x, y = start
    visitor.page.mouse.move(*visitor.at(x, y))
    visitor.page.mouse.down()
    for step in range(1, 16):
        visitor.page.mouse.move(*visitor.at(x + 11 * step, y + 6 * step))
        visitor.page.wait_for_timeout(40)
        shot(70)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
