"""Pixel truth: masks are what strokes cover, and the browser draws the ghost that the server draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio_pages import decoded, stroked

from dragflow.core.motion import Affine, Rotate, Scale, Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files.instructions import embedded_instruction
from dragflow.files.pictures import load_image
from dragflow.pixels.ghost import draw, ghost_of
from dragflow.pixels.resolve import resolve
from dragflow.world import drag_case

pytestmark = pytest.mark.browser


def noise(width: int, height: int, channels: int = 3) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def write(folder: Path, kind: str) -> Path:
    """A picture of a kind that cameras and programs make."""
    path = folder / f"{kind}.png"
    if kind == "odd":
        Image.fromarray(noise(517, 389)).save(path)
    elif kind == "large":
        Image.fromarray(np.repeat(np.repeat(noise(400, 300), 10, 0), 10, 1)).save(path)
    elif kind == "portrait":
        Image.fromarray(noise(300, 700)).save(path)
    elif kind == "alpha":
        Image.fromarray(noise(320, 240, 4)).save(path)
    elif kind == "palette":
        Image.fromarray(noise(320, 240)).quantize(16).save(path)
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(noise(320, 240)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("kind", ["odd", "large", "portrait", "alpha", "palette", "turned"])
def test_a_stroke_covers_its_pixels_at_any_zoom(visit: Any, tmp_path: Path, kind: str) -> None:
    visitor = visit()
    path = write(tmp_path, kind)
    visitor.open(path)
    h, w = load_image(path).size
    assert visitor.value("[c.picture.width, c.picture.height]") == [w, h]
    visitor.tool("Brush")
    for scale in (0.37, 4.0):
        x, y = (w // 2, h // 2) if scale < 1 else (w // 3, h // 3)
        visitor.zoom(scale, x, y)
        visitor.page.evaluate(f"window.dragflow.canvas.radius = {7 if scale > 1 else 20}")
        visitor.page.evaluate("window.dragflow.canvas.document.change({active: -1})")
        span = 30 if scale > 1 else 100
        page = visitor.page
        page.evaluate(
            """() => { const c = window.dragflow.canvas; const before = c.pointers.end.bind(c.pointers);
               c.pointers.end = (e, lost) => { if (c.marking) window.stroke = c.marking.points.map((p) => [p.x, p.y]);
               before(e, lost); }; }"""
        )
        visitor.drag((x - span / 2, y), (x + span / 2, y + span / 3))
        points = [tuple(point) for point in page.evaluate("window.stroke")]
        exact = stroked((h, w), points, 7 if scale > 1 else 20)
        assert np.array_equal(visitor.mask(), exact)
        # What the pointer did on the screen is where the stroke is in the picture, to a pixel of the screen.
        assert np.abs(np.subtract(points[0], (x - span / 2, y))).max() <= 1 / scale
        assert np.abs(np.subtract(points[-1], (x + span / 2, y + span / 3))).max() <= 1 / scale


MOTIONS: dict[str, Any] = {
    "move": (Translate((150.3, 120.7)), None),
    "turn": (Rotate((128, 128), degrees=33), None),
    "scale": (Scale((128, 128), 0.7), None),
    "attached turn": (Rotate((128, 128), degrees=20), "deformation"),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_the_browser_draws_the_ghost_that_the_server_draws(visit: Any, tmp_path: Path, name: str) -> None:
    case = drag_case(309, "translate", 256, "test")
    Image.fromarray(case.source).save(tmp_path / "scene.png")
    motion, label = MOTIONS[name]
    visitor = visit()
    visitor.open(tmp_path / "scene.png")
    task = resolve(case.source, Instruction(Operation(MaskArray(case.mask), Translate((150, 120), label=label))))
    matrix = resolve(case.source, Instruction(Operation(MaskArray(case.mask), motion))).operations[0].matrix()
    expected = draw(case.source, ghost_of(task), [matrix])
    shown = drawn_by_the_browser(visitor, task.instruction, matrix)
    differs = np.abs(shown.astype(int) - expected.astype(int)).max(axis=2)
    assert (differs <= 2).mean() >= 0.99, np.bincount(np.minimum(differs.ravel(), 20))
    assert np.abs(expected.astype(int) - case.source).max() > 40  # something has moved


def drawn_by_the_browser(visitor: Any, instruction: Instruction, matrix: Any) -> Any:
    from dragflow.files.instructions import to_file

    assert embedded_instruction(to_file(instruction), "test") is not None
    png = visitor.page.evaluate(
        """async ([instruction, matrix]) => {
          const studio = window.dragflow;
          const { GhostPainter } = await import('/studio-files/canvas/ghost.js');
          let last = null;
          for await (const ghost of studio.server.layers(instruction)) last = ghost;
          const { width, height } = studio.canvas.picture;
          const canvas = new OffscreenCanvas(width, height);
          const context = canvas.getContext('2d');
          context.drawImage(studio.canvas.picture, 0, 0);
          const painter = new GhostPainter(studio.canvas.picture, last);
          painter.drawStill(context);
          painter.drawMoving(context, [matrix]);
          const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
          let text = ''; for (const x of bytes) text += String.fromCharCode(x);
          return btoa(text);
        }""",
        [to_file(instruction), matrix],
    )
    return decoded(png)


def test_affine_motions_are_written_as_they_are_drawn(visit: Any, tmp_path: Path) -> None:
    case = drag_case(309, "translate", 256, "test")
    Image.fromarray(case.source).save(tmp_path / "scene.png")
    visitor = visit()
    visitor.open(tmp_path / "scene.png")
    visitor.tool("Box")
    visitor.drag((60, 60), (100, 110))
    fields = visitor.page.locator(".fields input")
    for number, value in enumerate(("12", "-7", "30", "120", "80")):
        fields.nth(number).fill(value)
        fields.nth(number).press("Tab")
    asked = embedded_instruction(visitor.instruction(), "the page")
    motion = asked.operations[0].motion
    assert isinstance(motion, Affine)
    drawn = visitor.value("import('/studio-files/canvas/document.js').then((m) => m.regionMatrix(c.document.region))")
    assert np.allclose(motion.matrix, drawn)
