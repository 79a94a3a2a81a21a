"""OpenRaster files, which Krita, GIMP and MyPaint open as layers (the specification's baseline, version 0.0.3)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.text import one_line
from dragflow.files.encoding import encode_png
from dragflow.files.pictures import SourceImage
from dragflow.files.zips import zipped

MEDIA_TYPE = "image/openraster"
_VERSION = "0.0.3"
_THUMBNAIL = 256


@dataclass(frozen=True, eq=False)
class RasterLayer:
    """A picture on its place."""

    name: str
    pixels: NDArray[np.uint8]
    """(h, w, 4)."""
    left: int = 0
    top: int = 0
    visible: bool = True
    clipped: bool = False
    """Whether it shows only where there is something below it, as opaque as that."""

    def png(self, icc_profile: bytes | None) -> bytes:
        """Its pixels as PNG, with a colour profile."""
        colours = self.pixels[..., :3]
        return encode_png(SourceImage(colours, self.pixels[..., 3], icc_profile=icc_profile), colours)


def flattened(layers: Sequence[RasterLayer], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What visible layers look like on each other: (h, w, 4) of a `size` (h, w); the lowest comes first."""
    colour, alpha = np.zeros((*size, 3), np.float32), np.zeros((*size, 1), np.float32)
    for layer in layers:
        if not layer.visible:
            continue
        h, w = layer.pixels.shape[:2]
        place = (slice(layer.top, layer.top + h), slice(layer.left, layer.left + w))
        share = layer.pixels[..., 3:].astype(np.float32) / 255
        own = share * alpha[place] if layer.clipped else share
        colour[place] = own * layer.pixels[..., :3] + (1 - share) * colour[place]  # multiplied by what is covered
        alpha[place] = own + (1 - share) * alpha[place]
    shown = np.concatenate([colour / np.maximum(alpha, 1e-6), alpha * 255], axis=2)
    return np.rint(np.clip(shown, 0, 255)).astype(np.uint8)


def openraster(layers: Sequence[RasterLayer], size: tuple[int, int], icc_profile: bytes | None = None) -> bytes:
    """The bytes of an OpenRaster file.

    Args:
        layers: the lowest first.
        size: (h, w) of the picture.
        icc_profile: of the colours.
    """
    merged = flattened(layers, size)
    image = ElementTree.Element("image", version=_VERSION, w=str(size[1]), h=str(size[0]), xres="72", yres="72")
    stack = ElementTree.SubElement(image, "stack")
    files: dict[str, bytes] = {}
    for number, layer in reversed([*enumerate(layers)]):  # the first of a stack is the highest
        path = f"data/layer{number}.png"
        ElementTree.SubElement(
            stack,
            "layer",
            {
                "name": one_line(layer.name),  # XML cannot say control characters
                "src": path,
                "x": str(layer.left),
                "y": str(layer.top),
                "opacity": "1.0",
                "visibility": "visible" if layer.visible else "hidden",
                "composite-op": "svg:src-atop" if layer.clipped else "svg:src-over",
            },
        )
        files[path] = layer.png(icc_profile)
    ElementTree.indent(image)
    head = {
        "mimetype": MEDIA_TYPE.encode(),
        "stack.xml": ElementTree.tostring(image, "utf-8", xml_declaration=True),
        "mergedimage.png": RasterLayer("", merged).png(icc_profile),
        "Thumbnails/thumbnail.png": _thumbnail(merged),
    }
    return zipped(head | files, stored=("mimetype",))


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
