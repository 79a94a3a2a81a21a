"""Every picture that people bring, and every format that is asked for: what is kept, what is told, what is refused."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from dragflow.core.errors import CapabilityError, UserError
from dragflow.files.deep import in_eight_bits, in_sixteen_bits, laid, turned
from dragflow.files.embedded import jpeg_segments, text_in
from dragflow.files.encoding import FORMATS, check_output_name, encode
from dragflow.files.pictures import SourceImage, decode_image, from_pixels, load_image, open_bytes
from printer_profile import printer_profile

H, W = 20, 30
LONG = "".join(chr(33 + i % 90) for i in range(200_000)) + " and a \N{SNOWMAN}"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def deep(channels: int = 3) -> Any:
    return np.random.default_rng(channels).integers(0, 65_536, (H, W, channels), dtype=np.uint16)


def eight(channels: int = 3) -> Any:
    return np.random.default_rng(channels).integers(0, 256, (H, W, channels), dtype=np.uint8)


def png16(array: Any) -> bytes:
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    return cv2.imencode(".png", np.ascontiguousarray(array[..., order]))[1].tobytes()


def tiff(array: Any, **more: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb", metadata=None, **more)
    return buffer.getvalue()


def saved(array: Any, kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **more)
    return buffer.getvalue()


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "write", [png16, tiff, lambda x: tiff(x, byteorder=">"), lambda x: tiff(x, compression="zlib")]
)
def test_all_sixteen_bits_are_read(write: Callable[[Any], bytes], channels: int) -> None:
    array = deep(channels)
    source = decode_image(write(array), "deep")
    assert source.deep is not None
    assert np.array_equal(source.deep, array)
    assert np.array_equal(source.pixels, np.rint(array[..., :3] / 257).astype(np.uint8))
    assert (source.alpha is None) == (channels == 3)
    assert source.sha256 != from_pixels(source.pixels).sha256


def test_gray_of_sixteen_bits_is_a_picture_too() -> None:
    array = deep(1)
    source = decode_image(png16(array), "gray")
    assert source.deep is not None
    assert np.array_equal(source.deep, np.repeat(array, 3, axis=2))


def test_an_array_of_sixteen_bits_is_a_picture() -> None:
    source = from_pixels(deep(4))
    assert source.deep is not None
    assert np.array_equal(source.deep, deep(4))
    assert np.array_equal(in_eight_bits(in_sixteen_bits(source.pixels)), source.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_are_turned_upright_as_eight_are(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encode("PNG", SourceImage.of_deep(deep(), exif=exif.tobytes()), from_pixels(deep()).pixels, deep=deep())
    small = saved(in_eight_bits(deep()), "PNG", exif=exif)
    (tmp_path / "deep.png").write_bytes(data)
    big, little = load_image(tmp_path / "deep.png"), decode_image(small, "small")
    assert big.deep is not None
    assert np.array_equal(big.pixels, little.pixels)
    assert np.array_equal(laid(turned(deep(), orientation), orientation), deep())


@pytest.mark.parametrize(
    "data",
    [
        tiff(np.moveaxis(deep(), 2, 0).copy(), planarconfig="separate"),
        tiff(deep(5), extrasamples=["unspecified", "unspecified"]),
    ],
    ids=["planes", "further channels"],
)
def test_sixteen_bits_in_another_form_are_read_whole_or_refused(data: bytes) -> None:
    """Never in the eight bits that Pillow would give in silence."""
    try:
        source = decode_image(data, "odd.tif")
    except UserError:
        with pytest.raises(UserError, match=r"odd\.tif"):
            decode_image(data, "odd.tif")
    else:
        assert source.deep is not None
        assert np.array_equal(source.deep, deep())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken_and_that_is_said(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Image.new("RGB", (W, H), colour) for colour in ("blue", "red"))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=[second], duration=100)
    assert np.abs(decode_image(buffer.getvalue(), "two").pixels.astype(int) - (0, 0, 255)).max() <= 4
    assert "it has 2 frames; only the first is used" in caplog.text


def test_what_a_phone_adds_to_a_picture_is_no_second_frame(caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    Image.fromarray(eight()).save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (W, H))])
    assert decode_image(buffer.getvalue(), "phone.jpg").size == (H, W)
    assert not caplog.text


def test_avif_and_heic_are_read() -> None:
    from pillow_heif import from_pillow

    flat = np.full((H, W, 3), (200, 90, 40), np.uint8)
    buffer = io.BytesIO()
    from_pillow(Image.fromarray(flat)).save(buffer, format="HEIF", quality=90)
    for data in (saved(flat, "AVIF"), buffer.getvalue()):
        source = decode_image(data, "photo")
        assert source.size == (H, W)
        assert np.abs(source.pixels.astype(int) - flat).max() <= 6


def test_heic_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(CapabilityError, match=r"photo\.heic is HEIC.*pip install 'dragflow\[heic\]'"):
        decode_image(b"\0\0\0\x18ftypheic" + bytes(40), "photo.heic")


def cmyk(profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    Image.new("CMYK", (W, H), (0, 255, 255, 0)).save(buffer, "TIFF", icc_profile=profile)
    return buffer.getvalue()


def test_cmyk_without_its_profile_or_with_a_damaged_one_is_refused() -> None:
    with pytest.raises(UserError, match="print is CMYK without a colour profile"):
        decode_image(cmyk(None), "print")
    with pytest.raises(UserError, match="its colour profile cannot be used"):
        decode_image(cmyk(b"no profile"), "print")


def test_cmyk_is_converted_through_its_profile_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    source = decode_image(cmyk(printer_profile(strength=0.8)), "print")
    assert np.abs(source.pixels.astype(int) - (255, 51, 51)).max() <= 2  # without the profile: pure red
    assert source.icc_profile is None
    assert "it was converted to sRGB by its colour profile" in caplog.text


def thumbnail_first() -> bytes:
    tags = ImageFileDirectory_v2()
    tags[254] = 1
    return saved(eight(), "TIFF", tiffinfo=tags)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.nef", saved(eight(), "TIFF")),
        ("b.tif", b"II*\0\x10\0\0\0CR\x02\0" + bytes(60)),
        ("c", b"FUJIFILMCCD-RAW 0201" + bytes(60)),
        ("d.tif", thumbnail_first()),
        ("e", b"\0\0\0\x18ftypcrx " + bytes(60)),
    ],
)
def test_raw_files_are_refused_with_what_to_do(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=r"raw file.*develop it in a raw converter"):
        load_image(tmp_path / name)


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_format_is_asked_for_by_name(suffix: str) -> None:
    assert check_output_name(Path(f"out{suffix.upper()}")) == FORMATS[suffix]


@pytest.mark.parametrize("name", ["out.gif", "out", "out.heic", "out.png.bmp"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"use \.png, which keeps every pixel"):
        check_output_name(Path(name))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_text_and_profile_come_back(kind: str, channels: int) -> None:
    source = replace(from_pixels(eight(channels)), icc_profile=SRGB)
    data = encode(kind, source, source.pixels, {"dragflow": LONG})
    again = decode_image(data, "result")
    assert again.icc_profile == SRGB
    assert text_in(open_bytes(data, "result"), "dragflow") == LONG
    assert text_in(open_bytes(data, "result"), "other") is None or kind == "JPEG"
    if kind in ("PNG", "TIFF", "WEBP"):
        assert np.array_equal(again.pixels, source.pixels)
        assert np.array_equal(again.alpha, source.alpha) if channels == 4 else again.alpha is None  # pyright: ignore[reportArgumentType]
    assert data == encode(kind, source, source.pixels, {"dragflow": LONG})


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
def test_all_sixteen_bits_come_back(kind: str, channels: int) -> None:
    source = replace(from_pixels(deep(channels)), icc_profile=SRGB)
    data = encode(kind, source, source.pixels, {"dragflow": LONG}, deep(channels)[..., :3])
    again = decode_image(data, "result")
    assert again.deep is not None
    assert np.array_equal(again.deep, deep(channels))
    assert again.icc_profile == SRGB
    assert text_in(open_bytes(data, "result"), "dragflow") == LONG


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_result_is_upright_as_the_source_was(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    ramp = np.linspace(0, 255, W).astype(np.uint8)[None, :, None] * np.ones((H, 1, 3), np.uint8)
    source = SourceImage(ramp, orientation=orientation, exif=exif.tobytes())
    again = decode_image(encode(kind, source, source.pixels), "result")
    assert again.size == (H, W)
    assert np.abs(again.pixels.astype(int) - ramp).max() <= (6 if kind in ("JPEG", "AVIF") else 0)


def test_what_a_format_does_not_keep_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    source = from_pixels(deep(4))
    encode("JPEG", source, source.pixels, None, deep(4)[..., :3])
    assert "JPEG: pixels are not kept exactly" in caplog.text
    assert "transparency is left out, 16 bits a channel become 8; PNG keeps all" in caplog.text
    caplog.clear()
    encode("PNG", source, source.pixels, None, deep(4)[..., :3])
    encode("WEBP", from_pixels(eight(4)), eight(4)[..., :3])
    assert not caplog.text


def test_a_format_that_is_too_small_is_refused() -> None:
    wide = from_pixels(np.zeros((16, 16_384, 3), np.uint8))
    with pytest.raises(UserError, match=r"16384 x 16, and WEBP holds at most 16383 pixels a side"):
        encode("WEBP", wide, wide.pixels)


def test_texts_that_strangers_made_are_bounded(tmp_path: Path) -> None:
    plain = saved(eight(), "JPEG")
    bomb = plain[:2] + jpeg_segments("a" * (70 << 20)) + plain[2:]
    assert len(bomb) < 200_000
    assert text_in(open_bytes(bomb, "bomb"), "dragflow") is None
    broken = plain[:2] + b"\xff\xe8" + (2 + 9 + 4).to_bytes(2, "big") + b"dragflow\0====" + plain[2:]
    assert text_in(open_bytes(broken, "broken"), "dragflow") is None
    assert text_in(open_bytes(plain, "plain"), "dragflow") is None
