"""EXIF data: as they are saved again, and how they say that a picture lies."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

from PIL import ExifTags, Image

from dragflow.files.pillow import lenient_pillow

_log = logging.getLogger(__name__)

_LAYOUT = frozenset({*range(0x100, 0x10E), 0x111, *range(0x115, 0x11C), 0x11C, 0x129, 0x13D, *range(0x140, 0x146)})
"""Tags about the layout of a TIFF file itself; they mean nothing in another file."""
_PACKETS = frozenset({0x2BC, ExifTags.Base.InterColorProfile.value})
"""A TIFF's XMP, which has the recipe of the result that it was, and its colour profile; neither is EXIF data."""

_START = b"Exif\0\0"
_ERRORS = (SyntaxError, ValueError, TypeError, KeyError, AttributeError, OSError, struct.error)
"""What Pillow raises of damaged EXIF data."""


def _orientation(raw: bytes) -> int:
    """The orientation that EXIF data give themselves, 1 to 8."""
    tags = Image.Exif()
    tags.load(raw)
    return tags.get(ExifTags.Base.Orientation, 1) or 1


def rewritten_exif(raw: bytes) -> bytes | None:
    """EXIF data as Pillow writes what it reads in them; None if damage in them would turn the picture or stop it."""
    tags = Image.Exif()
    try:
        with lenient_pillow():
            tags.load(raw)
            again = tags.tobytes()
            return again if _orientation(again) == _orientation(raw) else None
    except _ERRORS:
        return None


def exif_of(image: Image.Image, name: Path | str) -> tuple[bytes | None, int]:
    """EXIF as it is saved again, and the orientation that it gives, 1 to 8; what is damaged is left out."""
    try:
        tags = image.getexif()
        orientation = tags.get(ExifTags.Base.Orientation, 1) or 1
        if orientation not in range(1, 9):
            raise ValueError(f"orientation {orientation!r}")
        raw = image.info.get("exif")
        if not isinstance(raw, bytes) or _orientation(raw) != orientation:  # which may be in the XMP packet alone
            for tag in (_LAYOUT | _PACKETS).intersection(tags):
                del tags[tag]
            tags.bigtiff = False  # a BigTIFF's own header would make EXIF data that nothing reads
            raw = tags.tobytes() if tags else None
        # Some formats leave out the start, by which all the others know EXIF data.
        return _START + raw.removeprefix(_START) if raw else None, int(orientation)
    except _ERRORS as error:
        _log.warning("%s: its EXIF data are damaged and left out (%s)", name, error)
        return None, 1
