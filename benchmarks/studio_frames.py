"""How fast the studio's page is: frames while a hand drags, the page, the server's start, and the layers of a ghost.

    python benchmarks/studio_frames.py [--rounds 3] [--seconds 3] [--sizes 1024x1024 4000x3000]

Starts `dragflow studio` and a headless Chromium of the system (1440 x 900), renders a scene of the world at each size
(width x height), marks its last thing by its true mask, and moves the mouse as a hand would: the thing as a whole is
carried around (relocation), and turned by its handle as a part of what is around it (deformation). Frame times are
the differences of the timestamps that the browser gives to `requestAnimationFrame`; drawing is the time that the
canvas's own script takes of a frame. Layers count from the moment in which the mask is there, with the wait for a
hand that still paints. Each figure is from the quietest of the rounds: the one with the least of it. The server starts
with no model loaded, and is told to be there when it answers; the page is ready when pictures can be opened.
"""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import numpy as np
from PIL import Image

from dragflow.world import scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SEED = 309
KINDS = {"carried": "relocation", "turned as a part": "deformation"}
STEPS_IN_A_ROUND = 120
"""Of the mouse on its way around."""

READY = """new MutationObserver(() => {
  if (!window.readyAt && document.querySelector('.studio.ready')) window.readyAt = performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });"""
OPENED = """async (png) => {
  const { fromBase64 } = await import('/studio-files/page/server.js');
  const image = await fromBase64(png);
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d').drawImage(image, 0, 0);
  await window.dragflow.openPicture(await canvas.convertToBlob(), 'scene.png');
}"""
LAYERS = """async ([png, label]) => {
  const { fromBase64 } = await import('/studio-files/page/server.js');
  const { Bitmap } = await import('/studio-files/canvas/bitmap.js');
  const c = window.dragflow.canvas;
  const mask = Bitmap.from(await fromBase64(png), c.document.width, c.document.height);
  while (c.document.undo());
  const until = async (there) => { while (!there()) await new Promise((resolve) => setTimeout(resolve, 5)); };
  const begun = performance.now();
  c.document.add(mask);
  c.document.changeRegion({ label });
  c.maskChanged();
  await until(() => c.ghost);
  const coarse = performance.now() - begun;
  await until(() => c.ghost && !c.ghost.ghost.coarse);
  c.choose('move');
  return [coarse, performance.now() - begun];
}"""
RECORD = """() => {
  const c = window.dragflow.canvas, recorded = { frames: [], drawing: [], on: true };
  window.recorded = recorded;
  c.drawn ??= c.draw;
  c.draw = (now) => {
    const begun = performance.now();
    c.drawn(now);
    recorded.drawing.push(performance.now() - begun);
    if (recorded.on) requestAnimationFrame((next) => recorded.frames.push(next - now));
  };
}"""
PLACES = """() => {
  const c = window.dragflow.canvas, box = c.document.region.mask.bounds, { scale, left, top } = c.view;
  const middle = c.document.region.mask.centroid, on = c.surface.getBoundingClientRect();
  const place = (x, y) => [on.left + (x + 0.5) * scale + left, on.top + (y + 0.5) * scale + top];
  return [place(middle.x, middle.y), place((box.left + box.right) / 2, box.top - 28 / scale)];
}"""


def main() -> None:
    """Measure every size, print Markdown tables."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each drag")
    parser.add_argument("--sizes", nargs="+", default=["1024x1024", "4000x3000"])
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    starts, frames, layers = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for number in range(args.rounds):
            with studio() as (address, seconds):
                ready = page_ready(browser, address)
                print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
                starts.append((seconds, ready))
                for size in args.sizes:
                    of_size = measured(browser, address, size, args.seconds)
                    frames += of_size[0]
                    layers += of_size[1]
        browser.close()
    print(f"server start {min(s for s, _ in starts):.1f} s, page ready {min(r for _, r in starts):.2f} s\n")
    table(("picture", "drag", "median frame, ms", "95 %, ms", "drawing, ms"), frames, 1)
    table(("picture", "region", "coarse plate, s", "refined, s"), layers, 2)


@contextmanager
def studio() -> Iterator[tuple[str, float]]:
    """A studio in a process of its own; gives its address, and how many seconds it took to answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, begun = f"http://127.0.0.1:{port}", time.perf_counter()
    begins = "import sys; from dragflow.cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", begins, "studio", "--model", "nano", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not answers(address):
            if server.poll() is not None:
                raise SystemExit(f"the studio ended with code {server.returncode}")
            time.sleep(0.02)
        yield address, time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    """Whether a server listens at an address and gives its page."""
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status == 200
    except URLError:
        return False


def page_ready(browser: Browser, address: str) -> float:
    """Seconds from the beginning of a first visit until pictures can be opened."""
    page = visited(browser, address)
    milliseconds = page.evaluate("window.readyAt")
    page.context.close()
    return milliseconds / 1000


def visited(browser: Browser, address: str) -> Page:
    """A first visit."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(READY)
    page.goto(address)
    page.wait_for_function("window.readyAt")
    return page


def measured(browser: Browser, address: str, size: str, seconds: float) -> tuple[list[Any], list[Any]]:
    """Rows of both tables: what is measured, and its figures."""
    page = visited(browser, address)
    picture, mask = drawn(size)
    page.evaluate(OPENED, picture)
    frames, layers = [], []
    for kind, label in KINDS.items():
        coarse, refined = page.evaluate(LAYERS, [mask, label])
        layers.append(((size, label), (coarse / 1000, refined / 1000)))
        times, drawing = dragged(page, seconds, turning=label == "deformation")
        frames.append(((size, kind), (np.median(times), np.percentile(times, 95), np.median(drawing))))
    page.context.close()
    return frames, layers


def drawn(size: str) -> tuple[str, str]:
    """A scene and the mask of its last thing, as the text of PNGs in base64."""
    width, height = (int(side) for side in size.split("x"))
    made = scene(SEED, (height, width), "test", limb=False)
    mask = made.visible(made.objects[-1]) > 0.5
    return in_base64(made.render()), in_base64(mask.astype(np.uint8) * 255)


def in_base64(pixels: Any) -> str:
    """A picture as the text of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def dragged(page: Page, seconds: float, *, turning: bool) -> tuple[list[float], list[float]]:
    """Milliseconds of each frame, and of its drawing, while the mouse goes around with the region or its knob."""
    (x, y), knob = page.evaluate(PLACES)
    mouse = page.mouse
    mouse.move(*(knob if turning else (x, y)))
    mouse.down()
    page.evaluate(RECORD)
    begun, step = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step += 1
        phase = 2 * math.pi * step / STEPS_IN_A_ROUND
        if turning:
            mouse.move(knob[0] + 60 * math.sin(phase), knob[1])
        else:
            mouse.move(x + 80 * math.sin(phase), y + 50 * (1 - math.cos(phase)))
    recorded = page.evaluate("(window.recorded.on = false, window.recorded)")
    mouse.up()
    return recorded["frames"], recorded["drawing"]


def table(heads: tuple[str, ...], rows: list[Any], digits: int) -> None:
    """A Markdown table with the least of every figure over the rounds."""
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for name in dict.fromkeys(name for name, _ in rows):
        best = np.min([figures for other, figures in rows if other == name], axis=0)
        print("| " + " | ".join([*name, *(f"{figure:.{digits}f}" for figure in best)]) + " |")
    print()


if __name__ == "__main__":
    main()
