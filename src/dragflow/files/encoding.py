"""Pictures into files: PNG, or TIFF, WebP, AVIF and JPEG by name; with alpha, layout, EXIF and colour profile of the
source, and a text of ours in each format's own metadata.
"""

from __future__ import annotations

import io
import logging
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from dragflow.core.arrays import DeepPixels, Pixels
from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes
from dragflow.files.deep import encode_deep_png, encode_tiff, laid, read_deep
from dragflow.files.embedded import jpeg_segments, text_in, xmp_packet
from dragflow.files.exif import rewritten_exif
from dragflow.files.pictures import SourceImage, open_bytes

_log = logging.getLogger(__name__)

FORMATS = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
"""Names of outputs, and the formats that they ask for."""
_LONGEST_SIDE = {"WEBP": 16_383, "JPEG": 65_500, "AVIF": 65_536}
_LONGEST_SEGMENT = 65_533
"""Of a JPEG's EXIF data, in bytes."""
_LOSSY = ("JPEG", "AVIF")
_QUALITY = 95
"""Of JPEG and AVIF."""


def check_output_name(path: Path) -> str:
    """The format that an output name asks for.

    Raises:
        UserError: none that is written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"output {path} is not named for a format that is written: use .png, which keeps every pixel and the "
            "recipe, .tif, .webp, .avif or .jpg"
        )
    return FORMATS[path.suffix.lower()]


def written_suffix(data: bytes, name: str) -> str:
    """The suffix of the format of a result's file, which has been decoded; `name` says which picture, for errors.

    Raises:
        UserError: of a format that no result is written in.
    """
    kind = Image.open(io.BytesIO(data)).format
    suffix = next((suffix for suffix, written in FORMATS.items() if written == kind), None)
    if suffix is None:
        raise UserError(f"picture {name} is a {kind}, in which no result is written: give the file that the edit made")
    return suffix


def encode_png(
    source: SourceImage, pixels: Pixels, text: dict[str, str] | None = None, deep: DeepPixels | None = None
) -> bytes:
    """The bytes of a PNG with new pixels (H, W, 3), in 16 bits where `deep` is given; see `encode`."""
    return encode("PNG", source, pixels, text, deep)


def save_png(path: Path, source: SourceImage, pixels: Pixels, text: dict[str, str] | None = None) -> None:
    """Write a PNG atomically; see `encode_png`."""
    write_bytes(path, encode_png(source, pixels, text))


def encode(
    kind: str,
    source: SourceImage,
    pixels: Pixels,
    text: dict[str, str] | None = None,
    deep: DeepPixels | None = None,
) -> bytes:
    """The bytes of a picture with new pixels, and the alpha, layout, EXIF and colour profile of the source.

    What a format does not keep is told as a warning.

    Args:
        kind: one of the formats of `FORMATS`.
        source: the picture that it was made from.
        pixels: (H, W, 3).
        text: by name, at most one but in a PNG.
        deep: the same in 16 bits.

    Raises:
        UserError: larger than the format allows, or the bytes cannot be read again as what they were made from.
    """
    if (most := _LONGEST_SIDE.get(kind)) is not None and max(pixels.shape[:2]) > most:
        h, w = pixels.shape[:2]
        raise UserError(f"the result is {w} x {h}, and {kind} holds at most {most} pixels a side: save a PNG or a TIFF")
    _tell_losses(kind, source, deep)
    array = _array(kind, source, pixels, deep)
    if _keeps_exif(kind, source):
        array = laid(array, source.orientation)
    else:  # then nothing would say how it lies
        source = replace(source, exif=None, orientation=1)
    data = _WRITERS[kind](source, array, text or {})
    _check_readable(data, kind, array, text or {})
    return data


def _tell_losses(kind: str, source: SourceImage, deep: DeepPixels | None) -> None:
    lost = ["pixels are not kept exactly, also where nothing was edited"] if kind in _LOSSY else []
    lost += ["transparency is left out"] if kind == "JPEG" and source.alpha is not None else []
    lost += ["16 bits a channel become 8"] if deep is not None and kind not in ("PNG", "TIFF") else []
    lost += ["EXIF data are left out"] if source.exif and not _keeps_exif(kind, source) else []
    if lost:
        _log.warning("%s: %s; PNG keeps all", kind, ", ".join(lost))


def _keeps_exif(kind: str, source: SourceImage) -> bool:
    exif = source.exif or b""
    if kind == "AVIF":
        return not exif or rewritten_exif(exif) is not None
    return kind != "TIFF" and (kind != "JPEG" or len(exif) <= _LONGEST_SEGMENT)


def _array(kind: str, source: SourceImage, pixels: Pixels, deep: DeepPixels | None) -> Any:
    """What is written, upright: (H, W, 3 or 4) of 8 or 16 bits."""
    alpha = None if source.deep is None or source.deep.shape[2] == 3 else source.deep[..., 3]
    if deep is not None and kind in ("PNG", "TIFF"):
        return deep if alpha is None else np.dstack([deep, alpha])
    return pixels if source.alpha is None or kind == "JPEG" else np.dstack([pixels, source.alpha])


def _png(source: SourceImage, array: Any, text: dict[str, str]) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value, zip=True)
    profile = rgb_profile(source.icc_profile)
    if array.dtype == np.uint16:
        chunks = [(kind, content) for kind, content, *_ in info.chunks]
        chunks += [(b"eXIf", source.exif.removeprefix(b"Exif\0\0"))] if source.exif else []
        chunks += [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))] if profile else []
        return encode_deep_png(array, chunks)
    return _pillow("PNG", source, array, pnginfo=info)


def _tiff(source: SourceImage, array: Any, text: dict[str, str]) -> bytes:
    return encode_tiff(array, rgb_profile(source.icc_profile), _xmp(text))


def _webp(source: SourceImage, array: Any, text: dict[str, str]) -> bytes:
    return _pillow("WEBP", source, array, lossless=True, exact=True, **_as_xmp(text))


def _avif(source: SourceImage, array: Any, text: dict[str, str]) -> bytes:
    if source.exif:  # what is damaged would be refused, or turn the picture, because the format has an orientation too
        source = replace(source, exif=rewritten_exif(source.exif))
    return _pillow("AVIF", source, array, quality=_QUALITY, subsampling="4:4:4", max_threads=1, **_as_xmp(text))


def _jpeg(source: SourceImage, array: Any, text: dict[str, str]) -> bytes:
    return _pillow(
        "JPEG", source, array, quality=_QUALITY, subsampling=0, extra=b"".join(map(jpeg_segments, text.values()))
    )


_WRITERS = {"PNG": _png, "TIFF": _tiff, "WEBP": _webp, "AVIF": _avif, "JPEG": _jpeg}


def _pillow(kind: str, source: SourceImage, array: Any, **more: Any) -> bytes:
    buffer = io.BytesIO()
    exif = {"exif": source.exif} if source.exif else {}
    profile = {"icc_profile": rgb_profile(source.icc_profile)}
    Image.fromarray(array).save(buffer, kind, **profile, **exif, **more)
    return buffer.getvalue()


def _xmp(text: dict[str, str]) -> bytes | None:
    return next((xmp_packet(key, value) for key, value in text.items()), None)


def _as_xmp(text: dict[str, str]) -> dict[str, bytes]:
    packet = _xmp(text)
    return {} if packet is None else {"xmp": packet}


def _check_readable(data: bytes, kind: str, array: Any, text: dict[str, str]) -> None:
    """Refuse bytes that cannot be opened again as the picture with these texts that they were made from."""
    again = open_bytes(data, "of the result")
    if array.dtype == np.uint16:
        pixels = read_deep(io.BytesIO(data), again, "of the result")
    else:
        pixels = np.asarray(again.convert("RGBA" if array.shape[2] == 4 else "RGB"))
    same = pixels.shape == array.shape and (kind in _LOSSY or np.array_equal(pixels, array))
    if not same or any(text_in(again, key) != value for key, value in text.items()):
        raise UserError(f"the result cannot be read again from a {kind}: its texts or its pixels changed")


def rgb_profile(profile: bytes | None) -> bytes | None:
    """The profile if it is one for RGB; that of a gray or indexed source would make an RGB file invalid."""
    return profile if profile is not None and profile[16:20] == b"RGB " else None
