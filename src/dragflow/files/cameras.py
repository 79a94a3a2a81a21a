"""What phones, cameras and printers write: HEIC, raw files, CMYK; read, or refused with what to do."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from PIL import Image, ImageCms

from dragflow.core.errors import UserError
from dragflow.core.extras import extra

_log = logging.getLogger(__name__)

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mos", "mrw", "nef"),
        *("nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_DEVELOPED = (b"\xff\xd8\xff", b"\x89PNG")
"""Starts of what a raw file never is, whatever it is named."""
_DEVELOP = "develop it in a raw converter and export a TIFF of 16 bits, or a PNG"
_NEW_SUBFILE_TYPE, _DNG_VERSION = 254, 50706


def heif(source: Path | io.BytesIO, name: Path | str) -> tuple[str, ...]:
    """The format HEIF where a file is of it, once the library that reads it is there.

    Raises:
        CapabilityError: the library is missing.
    """
    start = _start(source)
    if start[4:8] != b"ftyp" or start[8:12] not in _HEIF_BRANDS or b"avif" in start[8:32]:
        return ()
    with extra("heic", f"picture {name} is HEIC, and reading it"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return ("HEIF",)


def refuse_raw(source: Path | io.BytesIO, name: Path | str) -> None:
    """Refuse what a sensor saw, which is no picture yet.

    Raises:
        UserError: it is a camera's raw file.
    """
    start = _start(source)
    named = isinstance(source, Path) and source.suffix.lower() in _RAW_SUFFIXES and not start.startswith(_DEVELOPED)
    canon = (start[:2] in (b"II", b"MM") and start[8:10] == b"CR") or start[4:12] == b"ftypcrx "
    if named or canon or start.startswith(_RAW_STARTS):
        raise UserError(f"picture {name} is a camera's raw file: {_DEVELOP}")


def refuse_thumbnail(image: Image.Image, name: Path | str) -> None:
    """Refuse raw files that look like a TIFF whose only picture is a thumbnail.

    Raises:
        UserError: it is one.
    """
    if image.format != "TIFF":
        return
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags or int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1:
        raise UserError(f"picture {name} is a camera's raw file, or a TIFF that begins with a thumbnail: {_DEVELOP}")


def from_cmyk(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """A CMYK picture in sRGB, as its colour profile says; what is saved is sRGB.

    Raises:
        UserError: it has no profile, or a damaged one: then nobody knows its colours.
    """
    if not profile:
        raise UserError(
            f"{name} is CMYK without a colour profile, so that its colours are not known: convert it to RGB where it "
            "was made"
        )
    try:
        to_srgb = ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), image.mode, "RGB")
        converted = to_srgb.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{name} is CMYK, and its colour profile cannot be used ({error}): convert it to RGB where it was made"
        ) from error
    _log.warning("%s: it is CMYK; it was converted to sRGB by its colour profile, and the result is sRGB", name)
    return converted


def _start(source: Path | io.BytesIO) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, io.BytesIO):
        return source.getbuffer()[:32].tobytes()
    with source.open("rb") as file:
        return file.read(32)
