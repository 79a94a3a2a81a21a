"""A picture near the limit of 64 megapixels in a browser: shown, marked, dragged, previewed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

H, W = 6700, 9000
DISC, RADIUS = (3500.0, 3000.0), 500
MINUTES = 300_000


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.empty((H, W, 3), np.uint8)
    pixels[...] = (70, 120, 90)
    pixels += np.linspace(0, 60, W, dtype=np.float32).astype(np.uint8)[:, None]
    ys, xs = np.ogrid[:H, :W]
    pixels[np.hypot(xs - DISC[0], ys - DISC[1]) <= RADIUS] = (200, 60, 50)
    Image.fromarray(pixels).save(tmp_path / "large.png", compress_level=1)
    return tmp_path / "large.png"


def test_sixty_megapixels_are_dragged(visit: Any, picture: Path) -> None:
    visitor = visit()
    visitor.page.set_default_timeout(MINUTES)
    visitor.open(picture)
    assert visitor.value("[c.document.width, c.document.height]") == [W, H]
    assert visitor.value("c.view.scale") < 0.2
    visitor.page.mouse.click(*visitor.at(*DISC))
    visitor.page.wait_for_function("() => window.dragflow.canvas.document.region", timeout=MINUTES)
    found, disc = visitor.mask(), np.hypot(*np.ogrid[-DISC[1] : H - DISC[1], -DISC[0] : W - DISC[0]]) <= RADIUS
    assert (found & disc).sum() > 0.95 * (found | disc).sum()
    visitor.drag(DISC, (DISC[0] + 2000, DISC[1]))
    visitor.page.wait_for_function("() => window.dragflow.canvas.preview", timeout=MINUTES)
    assert visitor.page.locator(".said").first.inner_text() == ""
    shown = visitor.page.evaluate("(() => { const p = window.dragflow.canvas.preview; return [p.width, p.height]; })()")
    assert shown == [W, H]
