"""Pictures from files and back, with alpha, EXIF orientation and colour profile kept."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from dragflow.core.arrays import Pixels, own
from dragflow.core.errors import UserError
from dragflow.files.atomic import write_bytes
from dragflow.files.pillow import lenient_pillow

_log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
"""A larger picture is refused: it would not fit into memory next to a model, and is usually a mistake."""
MIN_SIDE = 16
"""A smaller picture does not fill one cell of the model."""

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""The formats that are read; some of Pillow's others start programs (EPS: Ghostscript)."""
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "La", "RGBa", "RGBX")
# Raw layout -> upright, by EXIF orientation, and the way back.
_UNDO: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A picture as a person sees it (upright), and what is needed to save it in its original layout."""

    pixels: Pixels
    """(H, W, 3), upright RGB."""
    alpha: Pixels | None = None
    """(H, W), upright, or None for an opaque picture."""
    orientation: int = 1
    """EXIF orientation of the file, 1 to 8; the file is saved again in that layout."""
    exif: bytes | None = None
    icc_profile: bytes | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def sha256(self) -> str:
        """Digest of the upright pixels and their shape."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()


Picture = str | PathLike[str] | Pixels | Image.Image | SourceImage
"""What functions accept as a picture; see `as_source`."""


def load_image(path: str | PathLike[str]) -> SourceImage:
    """Read a picture.

    Raises:
        UserError: missing, empty, truncated, animated, not 8 bits a channel, CMYK, too large or too small.
    """
    path = Path(path)
    return _read(path, path)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture's file, of which nothing is checked but that there are some.

    Raises:
        UserError: missing, empty, not a file, or one that may not be read.
    """
    with _reading(path):
        _check_file(path)
        return path.read_bytes()


def decode_image(data: bytes, name: str) -> SourceImage:
    """A picture from the bytes of its file; the same formats and rules as for `load_image`.

    Raises:
        UserError: as `load_image`; `name` says which picture.
    """
    if not data:
        raise UserError(f"picture {name} is empty (0 bytes): export it again")
    return _read(io.BytesIO(data), name)


def _read(file: Path | io.BytesIO, name: Path | str) -> SourceImage:
    with _reading(name):
        image = _open(file, name)
        # Pillow turns a TIFF upright as it decodes it and forgets that it did; a PNG's tags may follow its pixels.
        early = _exif(image, name) if image.format == "TIFF" else None
        image.load()
        exif, orientation = early or _exif(image, name)
    if image.mode not in _EIGHT_BIT_MODES:
        _refuse_mode(name, image.mode)
    check_size(name, (image.height, image.width))
    turned = upright(image, name)
    has_alpha = turned.has_transparency_data
    rgba = np.asarray(turned.convert("RGBA" if has_alpha else "RGB"))
    return SourceImage(
        pixels=rgba[..., :3],
        alpha=rgba[..., 3] if has_alpha else None,
        orientation=orientation,
        exif=exif,
        icc_profile=image.info.get("icc_profile"),
        path=file if isinstance(file, Path) else None,
    )


def open_checked(path: Path, *, deep: bool = False) -> Image.Image:
    """Open a single still picture and decode it whole; `deep` takes 16 bits a channel too (colours lose the lower 8).

    Raises:
        UserError: missing, empty, not a picture, truncated, animated, or over the size limit.
    """
    with _reading(path):
        image = _open(path, path, deep=deep)
        image.load()
    return image


def decode_png(data: bytes, name: str, *, deep: bool = False) -> Image.Image:
    """Decode a PNG embedded in other data, after the same checks; no other format is tried. `deep`: see `open_checked`.

    Raises:
        UserError: not a PNG, truncated, or over the size limit.
    """
    with _reading(name):
        try:
            image = _open(io.BytesIO(data), name, ("PNG",), deep=deep)
        except UnidentifiedImageError as error:
            raise UserError(f"picture {name} is not a PNG: what is embedded in a file must be one") from error
        image.load()
    return image


def upright(image: Image.Image, name: Path | str) -> Image.Image:
    """A picture turned as its EXIF orientation says.

    Raises:
        UserError: EXIF data that cannot be read.
    """
    with _reading(name):
        return ImageOps.exif_transpose(image)


def _open(
    source: Path | io.BytesIO, name: Path | str, formats: tuple[str, ...] = _FORMATS, *, deep: bool = False
) -> Image.Image:
    """A picture whose header is read and checked, but no pixel yet."""
    if isinstance(source, Path):
        _check_file(source)
    image = Image.open(source, formats=formats)
    if image.size[0] * image.size[1] > MAX_PIXELS:
        check_size(name, (image.height, image.width))
    if getattr(image, "n_frames", 1) > 1:
        raise UserError(f"picture {name} has {image.n_frames} frames: export one frame as a still picture")  # pyright: ignore[reportAttributeAccessIssue]
    if not deep and any(";16" in str(part) for tile in image.tile for part in tile):
        _refuse_mode(name, "16 bits")  # Pillow would silently cut 16-bit colour to 8
    return image


def _check_file(path: Path) -> None:
    if not path.exists():
        raise UserError(f"picture {path} does not exist: check the path")
    if path.is_dir():
        raise UserError(f"picture {path} is a folder: name a picture file")
    if not path.is_file():
        raise UserError(f"picture {path} is a device or a pipe: name a picture file")
    if path.stat().st_size == 0:
        raise UserError(f"picture {path} is empty (0 bytes): export it again")


@contextmanager
def _reading(name: Path | str) -> Iterator[None]:
    """What Pillow raises while it reads a picture, as one sentence."""
    try:
        with lenient_pillow():
            yield
    except UnidentifiedImageError as error:
        raise UserError(f"picture {name} is not in a format that can be read: use PNG, JPEG, WebP or TIFF") from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"picture {name} is over the limit of {MAX_PIXELS // 10**6} megapixels: scale it down"
        ) from error
    except PermissionError as error:
        raise UserError(f"picture {name} may not be read: check its permissions") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"picture {str(name)[:40]}... has too long a name: check the path") from error
        raise UserError(f"picture {name} is damaged or truncated ({error}): export it again") from error
    except (SyntaxError, ValueError, TypeError, EOFError, struct.error) as error:
        raise UserError(f"picture {name} is damaged or truncated ({error}): export it again") from error


_STRUCTURE = frozenset({*range(0x100, 0x10E), 0x111, *range(0x115, 0x11C), 0x11C, 0x129, 0x13D, *range(0x140, 0x146)})
"""Tags about the layout of a TIFF file itself; they mean nothing in another file."""


def _exif(image: Image.Image, name: Path | str) -> tuple[bytes | None, int]:
    """EXIF as it is saved again, and the orientation that it gives, 1 to 8; what is damaged is left out."""
    try:
        tags = image.getexif()
        orientation = tags.get(ExifTags.Base.Orientation, 1) or 1
        if orientation not in range(1, 9):
            raise ValueError(f"orientation {orientation!r}")
        raw = image.info.get("exif")
        if not isinstance(raw, bytes):
            for tag in _STRUCTURE.intersection(tags):
                del tags[tag]
            raw = tags.tobytes() if tags else None
        return raw, int(orientation)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error) as error:
        _log.warning("%s: its EXIF data are damaged and left out (%s)", name, error)
        return None, 1


def check_size(path: Path | str, size: tuple[int, int]) -> None:
    """Refuse a picture outside of the stated limits; `size` is (h, w)."""
    h, w = size
    if h * w > MAX_PIXELS:
        limit = MAX_PIXELS // 10**6
        raise UserError(
            f"picture {path} is {w} x {h} = {h * w / 1e6:.0f} megapixels, over the limit of {limit}: scale it down"
        )
    if min(h, w) < MIN_SIDE:
        raise UserError(f"picture {path} is {w} x {h}: each side must have at least {MIN_SIDE} pixels")


def as_source(picture: Picture) -> SourceImage:
    """A picture in any of these forms: a path, an array (H, W, 3) or (H, W, 4) uint8, a PIL picture, or a source.

    Raises:
        UserError: a file that cannot be read; another shape or type.
    """
    return load_image(picture) if isinstance(picture, str | PathLike) else from_pixels(picture)


def from_pixels(pixels: Pixels | Image.Image | SourceImage) -> SourceImage:
    """A source from pixels in memory, which are copied.

    Raises:
        UserError: another shape or type than `as_source` takes.
    """
    if isinstance(pixels, SourceImage):
        return pixels
    if not isinstance(pixels, np.ndarray | Image.Image):
        raise UserError(f"a {type(pixels).__name__} is not a picture: give a path, an array or a PIL picture")
    if isinstance(pixels, Image.Image):
        if pixels.mode not in _EIGHT_BIT_MODES:
            _refuse_mode("picture", pixels.mode)
        pixels = np.asarray(pixels.convert("RGBA" if pixels.has_transparency_data else "RGB"))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise UserError(
            f"image array has shape {pixels.shape} and type {pixels.dtype}: it must be (H, W, 3) or (H, W, 4) uint8"
        )
    check_size("array", (pixels.shape[0], pixels.shape[1]))
    return SourceImage(pixels=pixels[..., :3], alpha=pixels[..., 3] if pixels.shape[2] == 4 else None)


def encode_png(source: SourceImage, pixels: Pixels, text: dict[str, str] | None = None) -> bytes:
    """The bytes of a PNG with new pixels (H, W, 3) and the alpha, layout, EXIF and colour profile of the source."""
    array = pixels if source.alpha is None else np.dstack([pixels, source.alpha])
    image = Image.fromarray(array)
    if source.orientation in _UNDO:
        image = image.transpose(_UNDO[source.orientation])
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value, zip=True)
    buffer = io.BytesIO()
    extra = {"exif": source.exif} if source.exif else {}
    image.save(buffer, "PNG", pnginfo=info, icc_profile=_rgb_profile(source.icc_profile), **extra)
    _check_readable(buffer.getvalue(), image, text or {})
    return buffer.getvalue()


def _check_readable(png: bytes, image: Image.Image, text: dict[str, str]) -> None:
    """Refuse a PNG that cannot be opened again as the picture with these texts that it was made from."""
    again = decode_png(png, "of the result")
    same = again.size == image.size and again.convert(image.mode).tobytes() == image.tobytes()
    if not same or any(again.info.get(key) != value for key, value in text.items()):
        raise UserError("the result cannot be read again from a PNG: its texts or its pixels changed")


def _rgb_profile(profile: bytes | None) -> bytes | None:
    """The profile if it is one for RGB; that of a gray or indexed source would make an RGB file invalid."""
    return profile if profile is not None and profile[16:20] == b"RGB " else None


def save_png(path: Path, source: SourceImage, pixels: Pixels, text: dict[str, str] | None = None) -> None:
    """Write a PNG atomically; see `encode_png`."""
    write_bytes(path, encode_png(source, pixels, text))


def check_png_name(path: Path) -> None:
    """Refuse an output name of a format that would not keep every pixel."""
    if path.suffix.lower() != ".png":
        raise UserError(f"output {path} is not named .png: results are PNG, which keeps every pixel and the recipe")


def _refuse_mode(name: Path | str, mode: str) -> NoReturn:
    if mode == "CMYK":
        raise UserError(f"picture {name} is CMYK: convert it to RGB (converting back would change its colours)")
    if mode.startswith(("I", "F", "16")):
        raise UserError(f"picture {name} has more than 8 bits a channel ({mode}): convert it to 8 bits")
    raise UserError(f"picture {name} has colour mode {mode}: convert it to RGB")
