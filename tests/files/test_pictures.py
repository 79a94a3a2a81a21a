"""Pictures from files and back: nothing lost, nothing bad let in."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from dragflow.core.errors import UserError
from dragflow.files.encoding import encode_png, save_png
from dragflow.files.pictures import MAX_PIXELS, decode_png, from_pixels, load_image, open_checked

ORIENTATION = 0x0112


def noise(h: int = 20, w: int = 30, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(h + w).integers(0, 256, (h, w, channels), dtype=np.uint8)


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


@pytest.mark.parametrize("value", range(1, 9))
def test_a_turned_picture_is_edited_upright_and_saved_as_it_lay(value: int, tmp_path: Path) -> None:
    raw = Image.fromarray(noise())
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    raw.save(path, exif=orientation(value))
    source = load_image(path)
    upright = ImageOps.exif_transpose(Image.open(path))
    assert np.array_equal(source.pixels, np.asarray(upright))
    assert source.orientation == value
    save_png(out, source, source.pixels)
    saved = Image.open(out)
    assert saved.getexif()[ORIENTATION] == value
    assert np.array_equal(np.asarray(saved), np.asarray(raw))


@pytest.mark.parametrize("value", range(1, 9))
def test_a_turned_jpeg_keeps_its_layout_and_tag(value: int, tmp_path: Path) -> None:
    path, out = tmp_path / "in.jpg", tmp_path / "out.png"
    Image.fromarray(noise()).save(path, exif=orientation(value), quality=95)
    source = load_image(path)
    save_png(out, source, source.pixels)
    saved = Image.open(out)
    assert saved.getexif()[ORIENTATION] == value
    assert np.array_equal(np.asarray(saved), np.asarray(Image.open(path)))


@pytest.mark.parametrize("value", [0, 9, 200])
def test_an_orientation_that_does_not_exist_is_upright(value: int, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    Image.fromarray(noise()).save(path, exif=orientation(value))
    assert load_image(path).orientation == 1
    assert np.array_equal(load_image(path).pixels, noise())


def test_a_changed_pixel_lands_where_it_is_seen(tmp_path: Path) -> None:
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(noise()).save(path, exif=orientation(6))
    source = load_image(path)
    pixels = source.pixels.copy()
    pixels[2, 5] = (1, 2, 3)
    save_png(out, source, pixels)
    assert np.array_equal(load_image(out).pixels, pixels)


def test_alpha_is_kept_bit_for_bit_under_every_pixel(tmp_path: Path) -> None:
    """Colours under transparent pixels too."""
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    rgba = noise(channels=4)
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(path)
    source = load_image(path)
    assert source.alpha is not None
    assert np.array_equal(source.alpha, rgba[..., 3])
    save_png(out, source, source.pixels)
    assert np.array_equal(np.asarray(Image.open(out)), rgba)


def test_the_colour_profile_is_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path, out = tmp_path / "in.jpg", tmp_path / "out.png"
    Image.fromarray(noise()).save(path, icc_profile=profile)
    source = load_image(path)
    save_png(out, source, source.pixels)
    assert Image.open(out).info["icc_profile"] == profile


def test_other_exif_is_kept(tmp_path: Path) -> None:
    exif = orientation(3)
    exif[0x010F] = "A camera"
    path, out = tmp_path / "in.jpg", tmp_path / "out.png"
    Image.fromarray(noise()).save(path, exif=exif)
    source = load_image(path)
    save_png(out, source, source.pixels)
    assert Image.open(out).getexif()[0x010F] == "A camera"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_eight_bit_mode_becomes_the_colours_it_shows(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    Image.fromarray(noise()).convert(mode).save(path)
    source = load_image(path)
    assert np.array_equal(source.pixels, np.asarray(Image.open(path).convert("RGB")))
    assert (source.alpha is not None) == (mode in ("LA", "RGBA"))


def test_a_palette_with_a_transparent_colour_has_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20) % 4).convert("P")
    image.save(tmp_path / "in.png", transparency=2)
    source = load_image(tmp_path / "in.png")
    assert source.alpha is not None
    assert np.array_equal(source.alpha == 0, np.asarray(image) == 2)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_common_formats_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(noise()).save(path)
    assert np.array_equal(load_image(path).pixels, np.asarray(Image.open(path).convert("RGB")))


def test_text_travels_with_the_picture_whatever_its_letters(tmp_path: Path) -> None:
    source = from_pixels(noise())
    save_png(tmp_path / "out.png", source, source.pixels, {"dragflow": "čeština, 漢字, 🐈 " * 500})
    found = Image.open(tmp_path / "out.png")
    found.load()
    assert getattr(found, "text", {})["dragflow"] == "čeština, 漢字, 🐈 " * 500


def test_the_same_pixels_have_the_same_digest_and_others_another() -> None:
    assert from_pixels(noise()).sha256 == from_pixels(Image.fromarray(noise())).sha256
    assert from_pixels(noise(20, 30)).sha256 != from_pixels(noise(20, 30).reshape(30, 20, 3)).sha256


def test_pixels_in_memory_may_have_alpha_and_may_be_a_view() -> None:
    rgba = noise(channels=4)
    source = from_pixels(rgba[::-1])
    assert source.alpha is not None
    assert np.array_equal(source.pixels, rgba[::-1, :, :3])
    assert from_pixels(source) is source


# -- bad pictures ------------------------------------------------------------------------------------------------------


def write_header(path: Path, w: int, h: int) -> None:
    """A PNG of a stated size with no pixels to speak of."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def animated(suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        frames = [Image.fromarray(noise()), Image.new("RGB", (30, 20), "red")]
        frames[0].save(path, suffix, save_all=True, append_images=frames[1:], duration=100)

    return write


def sixteen(channels: int) -> Callable[[Path], object]:
    png = cv2.imencode(".png", np.full((20, 30, channels), 1000, np.uint16))[1]
    return lambda path: path.write_bytes(png.tobytes())


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "empty": (lambda path: path.touch(), "0 bytes"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "text": (lambda path: path.write_text("no picture"), "is not in a format that can be read"),
    "32-bit float tiff": (lambda path: Image.fromarray(np.zeros((20, 30), np.float32)).save(path, "TIFF"), "8 bits"),
    "32-bit tiff": (lambda path: Image.fromarray(np.zeros((20, 30), np.int32)).save(path, "TIFF"), "8 bits"),
    "cmyk": (lambda path: Image.new("CMYK", (30, 20)).save(path, "JPEG"), "CMYK without a colour profile"),
    "lab": (lambda path: Image.new("LAB", (30, 20)).save(path, "TIFF"), "LAB"),
    "huge": (lambda path: write_header(path, 20000, 20000), str(MAX_PIXELS // 10**6)),
    "just over the limit": (lambda path: write_header(path, 8001, 8000), str(MAX_PIXELS // 10**6)),
    "low": (lambda path: Image.new("RGB", (64, 15)).save(path, "PNG"), "64 x 15"),
    "narrow": (lambda path: Image.new("RGB", (1, 64)).save(path, "PNG"), "1 x 64"),
    "no pixels": (lambda path: write_header(path, 30, 20), "damaged|truncated"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    write, words = BAD[kind]
    path = tmp_path / "bad.img"
    write(path)
    with pytest.raises(UserError, match=words) as error:
        load_image(path)
    assert "bad.img" in str(error.value)


def encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, suffix)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("suffix", "tail"), [("PNG", 16), ("JPEG", 2), ("WEBP", 0), ("TIFF", 0)])
def test_a_picture_cut_anywhere_is_refused(suffix: str, tail: int, tmp_path: Path) -> None:
    """Save for the end marker itself, which carries no pixel."""
    data, path = encoded(suffix), tmp_path / "cut.img"
    for length in range(1, len(data) - tail, max(1, len(data) // 150)):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"cut\.img"):
            load_image(path)


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.png"):
        load_image(tmp_path / "bad.png")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((20, 30), np.uint8), r"\(20, 30\)"),
        (np.zeros((20, 30, 3), np.float64), "float64"),
        (np.zeros((20, 30, 5), np.uint8), r"\(20, 30, 5\)"),
        (np.zeros((0, 30, 3), np.uint8), "30 x 0"),
        (Image.new("CMYK", (30, 20)), "CMYK"),
        (Image.new("I", (30, 20)), "8 bits"),
    ],
)
def test_bad_pixels_in_memory_are_refused(value: NDArray[np.uint8], words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_pixels(value)


def test_a_gray_profile_is_not_put_on_colours(tmp_path: Path) -> None:
    """A PNG in colour with a profile for gray is invalid: viewers drop the profile or refuse the picture."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    Image.fromarray(noise()[..., 0]).save(tmp_path / "in.png", icc_profile=bytes(profile))
    saved = Image.open(io.BytesIO(encode_png(load_image(tmp_path / "in.png"), noise())))
    assert saved.mode == "RGB"
    assert saved.info.get("icc_profile", b"")[16:20] != b"GRAY"


# -- metadata that other programs wrote --------------------------------------------------------------------------------


def test_the_orientation_of_a_tiff_is_kept(tmp_path: Path) -> None:
    """Pillow turns it upright by itself; what is saved must lie as the file did."""
    raw = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(raw).save(tmp_path / "turned.tif", exif=exif)
    source = load_image(tmp_path / "turned.tif")
    assert (source.size, source.orientation) == ((30, 20), 6)
    save_png(tmp_path / "out.png", source, source.pixels)
    with Image.open(tmp_path / "out.png") as saved:
        assert saved.size == (30, 20)
        assert saved.getexif()[0x0112] == 6
    assert np.array_equal(load_image(tmp_path / "out.png").pixels, source.pixels)


@pytest.mark.parametrize("exif", [b"garbage", b"", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0A\0\0\0"])
def test_damaged_exif_is_left_out(exif: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "red").save(tmp_path / "p.png", exif=exif)
    source = load_image(tmp_path / "p.png")
    assert (source.exif or None, source.orientation) == (None, 1)
    save_png(tmp_path / "out.png", source, source.pixels)
    assert load_image(tmp_path / "out.png").size == (20, 30)


EXIF = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: whole[:10] + bytes(len(whole) - 10),
    "ones": lambda whole: whole[:10] + b"\xff" * (len(whole) - 10),
    "far offset": lambda whole: whole[:10] + b"\xff\xff\xff\x7f" + whole[14:],
    "no header": lambda whole: whole[6:],
    "long count": lambda whole: whole.replace(b"\x12\x01\x03\x00\x01\x00", b"\x12\x01\x03\x00\xff\xff"),
    "as text": lambda whole: whole.replace(b"\x12\x01\x03\x00", b"\x12\x01\x02\x00"),
    "as fraction": lambda whole: whole.replace(b"\x12\x01\x03\x00", b"\x12\x01\x05\x00"),
    "unknown type": lambda whole: whole.replace(b"\x12\x01\x03\x00", b"\x12\x01\x63\x00"),
    "nine": lambda whole: re.sub(rb"(?s)(\x12\x01\x03\x00\x01\x00\x00\x00).", lambda m: m[1] + b"\x09", whole),
    "whole": lambda whole: whole,
}
"""Kinds of damage to EXIF data whose first tag is the orientation."""


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("damage", EXIF)
def test_damaged_exif_of_any_kind_is_read_or_left_out(damage: str, suffix: str, tmp_path: Path) -> None:
    """And what is saved opens again as the same picture, in the same layout."""
    for number in range(1, 9):
        exif = orientation(number)
        exif[0x010F] = "A camera"
        whole = exif.tobytes()
        path, out = tmp_path / f"{number}.{suffix}", tmp_path / f"{number}-out.png"
        options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        if suffix == "tif":  # the file itself is the EXIF data; what breaks it breaks the picture
            Image.fromarray(noise()).save(path, exif=exif)
            if damage in ("long count", "as text", "as fraction", "unknown type", "nine"):
                path.write_bytes(EXIF[damage](path.read_bytes()))
        else:
            Image.fromarray(noise()).save(path, exif=EXIF[damage](whole), **options)
        if (suffix, damage) == ("tif", "long count"):
            with pytest.raises(UserError, match=path.name):
                load_image(path)
            continue
        source = load_image(path)
        if damage == "whole":
            assert source.orientation == number
        save_png(out, source, source.pixels)
        again = load_image(out)
        assert np.array_equal(again.pixels, source.pixels)
        assert again.orientation == source.orientation


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp", "png"])
def test_a_colour_profile_over_a_mebibyte_survives(suffix: str, tmp_path: Path) -> None:
    """Pillow writes it, and refuses to read it again."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile += np.random.default_rng(0).bytes(3 << 20)
    Image.fromarray(noise()).save(tmp_path / f"in.{suffix}", icc_profile=profile)
    source = load_image(tmp_path / f"in.{suffix}")
    assert source.icc_profile == profile
    save_png(tmp_path / "out.png", source, source.pixels, {"dragflow": "x" * (2 << 20)})
    assert load_image(tmp_path / "out.png").icc_profile == profile
    assert open_checked(tmp_path / "out.png").info["dragflow"] == "x" * (2 << 20)
    assert PngImagePlugin.MAX_TEXT_CHUNK == 1 << 20


def test_what_cannot_be_opened_again_is_not_written(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"before")
    source = from_pixels(noise())
    with pytest.raises(UserError, match="of the result is damaged"):
        save_png(out, source, source.pixels, {str(i): "x" * (40 << 20) for i in range(2)})
    assert (out.read_bytes(), list(tmp_path.iterdir())) == (b"before", [out])


def test_only_a_png_is_decoded_where_one_is_embedded() -> None:
    """Whatever else Pillow reads stays unread: some formats start programs."""
    buffer = io.BytesIO()
    Image.new("L", (30, 20)).save(buffer, "JPEG")
    for data in (buffer.getvalue(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n"):
        with pytest.raises(UserError, match="is not a PNG"):
            decode_png(data, "inside")


def test_exif_data_that_end_early_are_read_in_silence(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    encoded = io.BytesIO()
    Image.fromarray(noise()).save(encoded, "PNG")
    tags = b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHII", 9, ORIENTATION, 3, 1, 6 << 16)  # of nine there is one
    chunk = b"eXIf" + tags
    chunk = struct.pack(">I", len(tags)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    header, rest = encoded.getvalue()[:33], encoded.getvalue()[33:]
    (tmp_path / "early.png").write_bytes(header + chunk + rest)
    assert load_image(tmp_path / "early.png").orientation == 6
    assert not recwarn.list
