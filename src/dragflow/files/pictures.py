"""Pictures from files, with alpha, EXIF orientation, colour profile and all 16 bits; `encoding.py` saves them."""

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
from typing import Any, NoReturn

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dragflow.core.arrays import DeepPixels, Pixels, own
from dragflow.core.errors import UserError
from dragflow.files.cameras import from_cmyk, heif, refuse_raw, refuse_thumbnail
from dragflow.files.deep import in_eight_bits, is_deep, read_deep, refuse_many_levels, turned
from dragflow.files.embedded import KEY, recipe_digest, text_in
from dragflow.files.exif import exif_of
from dragflow.files.pillow import lenient_pillow

_log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
"""A larger picture is refused: it would not fit into memory next to a model, and is usually a mistake."""
MIN_SIDE = 16
"""A smaller picture does not fill one cell of the model."""

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "BMP", "GIF", "PPM")
"""The formats that are read; some of Pillow's others start programs (EPS: Ghostscript)."""
_READABLE = "PNG, JPEG, WebP, TIFF, AVIF or HEIC"
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "La", "RGBa", "RGBX")


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A picture as a person sees it (upright), and what is needed to save it in its original layout."""

    pixels: Pixels
    """(H, W, 3), upright RGB."""
    alpha: Pixels | None = None
    """(H, W), upright, or None for an opaque picture."""
    deep: DeepPixels | None = None
    """(H, W, 3), or (H, W, 4) with alpha: the same in 16 bits a channel, where the file has so many."""
    orientation: int = 1
    """EXIF orientation of the file, 1 to 8; the file is saved again in that layout."""
    exif: bytes | None = None
    icc_profile: bytes | None = None
    path: Path | None = None
    recipe_sha256: str | None = None
    """Digest of the recipe in the file, where the picture is itself a result."""

    def __post_init__(self) -> None:
        """Keep no buffer of the caller."""
        own(self)

    @staticmethod
    def of_deep(deep: DeepPixels, **more: Any) -> SourceImage:
        """A picture of 16 bits a channel, (H, W, 3 or 4); 8 bits are what is worked with."""
        eight = in_eight_bits(deep)
        return SourceImage(
            pixels=eight[..., :3], alpha=eight[..., 3] if eight.shape[2] == 4 else None, deep=deep, **more
        )

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def sha256(self) -> str:
        """Digest of the upright pixels and their shape."""
        pixels = self.pixels if self.deep is None else self.deep[..., :3]
        return hashlib.sha256(repr(self.pixels.shape).encode() + pixels.tobytes()).hexdigest()


Picture = str | PathLike[str] | Pixels | Image.Image | SourceImage
"""What functions accept as a picture; see `as_source`."""


def load_image(path: str | PathLike[str]) -> SourceImage:
    """Read a picture.

    Raises:
        UserError: missing, empty, truncated, not of 8 or 16 bits a channel, too large or too small.
        CapabilityError: HEIC, without the library that reads it.
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
        image = _open(file, name, deep=True, still=False)
        # Pillow turns a TIFF upright as it decodes it and forgets that it did; a PNG's tags may follow its pixels.
        early = exif_of(image, name) if image.format == "TIFF" else None
        refuse_many_levels(image, name)
        sixteen = is_deep(image)  # its layout is forgotten once it is decoded
        image.load()
        exif, orientation = early or exif_of(image, name)
        profile, recipe = image.info.get("icc_profile"), text_in(image, KEY)
        deep = read_deep(file, image, str(name)) if sixteen else None
    if image.mode == "CMYK":
        image, profile = from_cmyk(image, profile, str(name)), None
    if deep is None and image.mode not in _EIGHT_BIT_MODES:
        _refuse_mode(name, image.mode)
    check_size(name, (image.height, image.width))
    lying = _rgba(image) if deep is None else deep
    # OpenCV turns a TIFF upright, as Pillow does, and nothing else.
    pixels: Any = lying if early else turned(lying, orientation)
    kept: dict[str, Any] = {"orientation": orientation, "exif": exif, "icc_profile": profile}
    kept["path"] = file if isinstance(file, Path) else None
    kept["recipe_sha256"] = None if recipe is None else recipe_digest(recipe)
    if deep is not None:
        return SourceImage.of_deep(pixels, **kept)
    return SourceImage(pixels=pixels[..., :3], alpha=pixels[..., 3] if pixels.shape[2] == 4 else None, **kept)


def _rgba(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


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


def open_bytes(data: bytes, name: str) -> Image.Image:
    """The same as `open_checked` from the bytes of a file, of 8 or 16 bits a channel.

    Raises:
        UserError: as `open_checked`.
    """
    with _reading(name):
        image = _open(io.BytesIO(data), name, deep=True)
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
    source: Path | io.BytesIO,
    name: Path | str,
    formats: tuple[str, ...] = _FORMATS,
    *,
    deep: bool = False,
    still: bool = True,
) -> Image.Image:
    """A picture whose header is read and checked, but no pixel yet; of several frames the first, unless `still`."""
    if isinstance(source, Path):
        _check_file(source)
    refuse_raw(source, name)
    image = Image.open(source, formats=(*formats, *heif(source, name)) if formats is _FORMATS else formats)
    if image.size[0] * image.size[1] > MAX_PIXELS:
        check_size(name, (image.height, image.width))
    frames = getattr(image, "n_frames", 1)
    # What cameras add to a picture, as its depth or its light on brighter screens, is not another picture.
    if frames > 1 and image.format not in ("MPO", "HEIF"):
        if still:
            raise UserError(f"picture {name} has {frames} frames: export one frame as a still picture")
        _log.warning("%s: it has %d frames; only the first is used", name, frames)
    refuse_thumbnail(image, name)
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
        raise UserError(f"picture {name} is not in a format that can be read: use {_READABLE}") from error
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
    except (SyntaxError, ValueError, TypeError, AttributeError, EOFError, struct.error) as error:
        raise UserError(f"picture {name} is damaged or truncated ({error}): export it again") from error


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
    """A picture as a path, an array (H, W, 3) or (H, W, 4) of uint8 or uint16, a PIL picture, or a source.

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
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise UserError(
            f"image array has shape {pixels.shape} and type {pixels.dtype}: it must be (H, W, 3) or (H, W, 4) uint8 or "
            "uint16"
        )
    check_size("array", (pixels.shape[0], pixels.shape[1]))
    if pixels.dtype == np.uint16:
        return SourceImage.of_deep(pixels.astype(np.uint16, copy=False))
    return SourceImage(pixels=pixels[..., :3], alpha=pixels[..., 3] if pixels.shape[2] == 4 else None)


def _refuse_mode(name: Path | str, mode: str) -> NoReturn:
    if mode == "CMYK":
        raise UserError(f"{name} is CMYK: convert it to RGB")
    if mode.startswith(("I", "F", "16")):
        raise UserError(f"picture {name} has more than 8 bits a channel ({mode}): convert it to 8 bits")
    raise UserError(f"picture {name} has colour mode {mode}: convert it to RGB")
