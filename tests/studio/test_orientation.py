"""A picture that its camera turned: what comes back is shown upright beside its source, for every orientation."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from studio_pages import decoded

from dragflow.files.encoding import encode_png
from dragflow.files.pictures import decode_image
from dragflow.world import drag_case

pytestmark = pytest.mark.browser

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""From the upright picture to what a camera with this orientation stores."""
DRAWN = """async (png) => {
  const blob = await (await fetch('data:image/png;base64,' + png)).blob();
  const drawn = async (image, width, height) => {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d').drawImage(image, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  };
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const { naturalWidth, naturalHeight } = image;
  return [await drawn(bitmap, bitmap.width, bitmap.height), await drawn(image, naturalWidth, naturalHeight)];
}"""
"""What the comparison shows of a file, and what the strip of results shows."""


def stored(upright: Any, value: int) -> bytes:
    """The file of a camera that was held as the orientation says."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    image = Image.fromarray(upright)
    buffer = io.BytesIO()
    (image.transpose(TURNED[value]) if value in TURNED else image).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def test_results_of_every_orientation_are_shown_upright(visit: Any) -> None:
    page = visit().page
    upright = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    for value in range(1, 9):
        source = decode_image(stored(upright, value), "of the test")
        assert np.array_equal(source.pixels, upright)
        result = 255 - upright
        png = base64.b64encode(encode_png(source, result)).decode()
        for way, shown in zip(("compared", "in the strip"), page.evaluate(DRAWN, png), strict=True):
            assert np.array_equal(decoded(shown), result), (value, way)


def test_an_edit_of_a_turned_picture_is_compared_with_it_upright(visit: Any, tmp_path: Path) -> None:
    scene = drag_case(309, "translate", 256, "test")
    ys, xs = np.nonzero(scene.mask)
    upright = np.ascontiguousarray(scene.source[:200])
    (tmp_path / "turned.png").write_bytes(stored(upright, 6))
    visitor = visit()
    visitor.dragged(tmp_path / "turned.png", (float(xs.mean().round()), float(ys.mean().round())))
    visitor.preset("fast")
    visitor.press("Run")
    visitor.page.wait_for_selector(".results img", timeout=120_000)
    visitor.wait("c.judging && !c.running")
    before, after = (
        visitor.value(f"[c.judging.{name}.width, c.judging.{name}.height]") for name in ("before", "after")
    )
    assert before == after == [256, 200]
    result = Image.open(io.BytesIO(visitor.blob("window.dragflow.results.current.after")))
    assert result.size == (200, 256)
    kept = np.asarray(result.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(kept[-1, :], upright[-1, :])
