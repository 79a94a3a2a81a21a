"""Pictures of 16 bits a channel, which Pillow cuts to 8: read and written with all of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from dragflow.core.arrays import DeepPixels, Pixels
from dragflow.core.errors import UserError

_BITS_PER_SAMPLE = 258
_LEVELS = 257
"""Of 16 bits to one of 8: 65535 / 255."""


def is_deep(image: Image.Image) -> bool:
    """Whether a PNG or TIFF that is opened, and not decoded yet, has 16 bits a channel."""
    if image.format == "TIFF":
        return 16 in getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return image.format == "PNG" and any(";16" in str(part) for tile in getattr(image, "tile", ()) for part in tile)


def refuse_many_levels(image: Image.Image, name: Path | str) -> None:
    """Refuse a PPM of more levels than 8 bits have, of which Pillow keeps no more than that in silence.

    Raises:
        UserError: it is one.
    """
    levels = [part for tile in getattr(image, "tile", ()) if image.format == "PPM" for part in tile[3] if part != "RGB"]
    if any(isinstance(part, int) and part > 255 for part in levels):
        raise UserError(
            f"picture {name} is a PPM of up to {levels[0]} levels, which is read with 255 alone: save it as PNG or TIFF"
        )


def in_eight_bits(deep: DeepPixels) -> Pixels:
    """The nearest levels of 8 bits."""
    return ((deep.astype(np.uint32) + _LEVELS // 2) // _LEVELS).astype(np.uint8)


def in_sixteen_bits(pixels: Pixels) -> DeepPixels:
    """The same levels in 16 bits."""
    return pixels.astype(np.uint16) * _LEVELS


def read_deep(file: Path | io.BytesIO, image: Image.Image, name: str) -> DeepPixels:
    """All 16 bits (H, W, 3 or 4) of a file that Pillow has opened, as it lies in the file.

    Raises:
        UserError: what is read is not the picture that Pillow sees, as with some colour models of TIFF.
    """
    import cv2

    data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
    read = None if image.mode == "CMYK" else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    found = None if read is None else _in_rgb(np.asarray(read))
    if found is None or not _is_same(found, image):
        raise UserError(
            f"picture {name} has 16 bits a channel in a form that cannot be read ({image.format}, {image.mode}), or is "
            "damaged: save it again as a PNG of RGB, or of RGB and alpha"
        )
    return cast("DeepPixels", found)


def _is_same(found: Any, image: Image.Image) -> bool:
    """Whether OpenCV and Pillow, which gives the upper 8 bits alone, have understood a file alike."""
    seen = np.asarray(image)
    if seen.dtype.itemsize == 2:
        seen = (seen.astype(np.uint16) >> 8).astype(np.uint8)
    channels: list[int] = [0] if seen.ndim == 2 else [0, 3] if seen.shape[2] == 2 else list(range(seen.shape[2]))
    if found.dtype != np.uint16 or found.shape[:2] != seen.shape[:2] or channels[-1] >= found.shape[2]:
        return False
    if image.has_transparency_data and found.shape[2] == 3:
        return False
    return np.array_equal(found[..., channels] >> 8, seen.reshape(*seen.shape[:2], -1))


def _in_rgb(read: Any) -> Any:
    """OpenCV's gray, BGR or BGRA as RGB or RGBA."""
    if read.ndim == 2:
        return np.repeat(read[..., None], 3, axis=2)
    order = [2, 1, 0, 3] if read.shape[2] == 4 else [2, 1, 0]
    return read[..., order]


_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
"""By EXIF orientation: quarter turns counterclockwise, after which it is mirrored left to right or not."""


def turned(pixels: Any, orientation: int) -> Any:
    """Pixels (H, W, C) as they lie in a file, upright."""
    quarters, mirrored = _TURNS.get(orientation, (0, False))
    upright = np.rot90(pixels, quarters)
    return upright[:, ::-1] if mirrored else upright


def laid(pixels: Any, orientation: int) -> Any:
    """Upright pixels (H, W, C) as they lie in a file; the inverse of `turned`."""
    quarters, mirrored = _TURNS.get(orientation, (0, False))
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -quarters)


def encode_deep_png(pixels: DeepPixels, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of 16 bits (H, W, 3 or 4), with further chunks before its pixels."""
    import cv2

    _, data = cv2.imencode(".png", np.ascontiguousarray(_in_rgb(pixels)))  # which is its own inverse
    png = data.tobytes()
    head = 8 + 25  # signature and IHDR
    return png[:head] + b"".join(_chunk(kind, content) for kind, content in chunks) + png[head:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def encode_tiff(pixels: Any, profile: bytes | None, xmp: bytes | None) -> bytes:
    """A TIFF (H, W, 3 or 4) of 8 or 16 bits, without EXIF data."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.ascontiguousarray(pixels),
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=profile,
        extratags=[(700, 1, len(xmp), xmp, True)] if xmp else [],
    )
    return buffer.getvalue()
