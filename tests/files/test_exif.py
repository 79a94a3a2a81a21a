"""A result lies as its source did, whatever wrote the EXIF data of that, and whatever format is asked for."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from dragflow.core.errors import UserError
from dragflow.files.deep import turned
from dragflow.files.embedded import xmp_packet
from dragflow.files.encoding import encode
from dragflow.files.pictures import SourceImage, decode_image, from_pixels, load_image
from printer_profile import printer_profile

H, W = 24, 40
KINDS = ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"]
RAMP = (np.linspace(0, 250, W)[None, :, None] * np.ones((H, 1, 3))).astype(np.uint8)


def tags(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = orientation, "maker"
    return exif


def saved(kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, kind, **more)
    return buffer.getvalue()


def check_layout(data: bytes, upright: Any) -> None:
    """As this program reads it, and as any other does that obeys EXIF data."""
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    for pixels in (decode_image(data, "result").pixels, np.asarray(seen)):
        assert pixels.shape == upright.shape
        assert np.abs(pixels.astype(int) - upright).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("orientation", [2, 5, 6, 7])
def test_a_source_of_any_format_lies_the_same_in_any_other(orientation: int, of: str, kind: str) -> None:
    more: dict[str, Any] = {"lossless": True} if of == "WEBP" else {}
    source = decode_image(saved(of, exif=tags(orientation), **more), "source")
    data = encode(kind, source, source.pixels)
    check_layout(data, turned(RAMP, orientation))
    if kind != "TIFF":
        assert Image.open(io.BytesIO(data)).getexif()[0x10F] == "maker"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_was_turned_is_one_for_torch_too(orientation: int) -> None:
    import torch

    turned_by_file = decode_image(saved("JPEG", exif=tags(orientation)), "source")
    turned_by_hand = from_pixels(turned(np.asarray(Image.open(io.BytesIO(saved("PNG")))), orientation))
    for source in (turned_by_file, turned_by_hand):
        torch.tensor(source.pixels)  # nothing that runs backwards through its memory


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_is_turned_once(orientation: int, depth: type) -> None:
    array = RAMP.astype(depth) * (257 if depth is np.uint16 else 1)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    source = decode_image(buffer.getvalue(), "source")
    assert np.array_equal(source.pixels, turned(RAMP, orientation))
    assert (source.deep is None) == (depth is np.uint8)
    if source.deep is not None:
        assert np.array_equal(source.deep, turned(array, orientation))
        check_layout(encode("PNG", source, source.pixels, deep=source.deep), source.pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bigtiff_has_exif_data_that_others_can_read(kind: str) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, RAMP, photometric="rgb", bigtiff=True, extratags=[(271, 2, 6, "maker", True)])
    source = decode_image(buffer.getvalue(), "source")
    data = encode(kind, source, source.pixels)
    check_layout(data, RAMP)
    assert kind == "TIFF" or Image.open(io.BytesIO(data)).getexif()[0x10F] == "maker"


@pytest.mark.parametrize("kind", KINDS)
def test_an_orientation_in_the_xmp_packet_alone_is_kept(kind: str) -> None:
    exif = Image.Exif()
    exif[0x10F] = "maker"
    source = decode_image(saved("JPEG", exif=exif, xmp=b'<x tiff:Orientation="6"/>', quality=95), "source")
    check_layout(encode(kind, source, source.pixels), turned(RAMP, 6))


def test_cmyk_is_turned_too() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).convert("CMYK").save(buffer, "JPEG", exif=tags(6), icc_profile=printer_profile(), quality=95)
    source = decode_image(buffer.getvalue(), "print")
    check_layout(encode("PNG", source, source.pixels), turned(RAMP, 6))


def test_exif_data_longer_than_a_jpeg_holds_are_left_out_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    exif = tags(6)
    exif[0x927C] = b"x" * 70_000
    source = decode_image(saved("PNG", exif=exif), "source")
    check_layout(encode("JPEG", source, source.pixels), turned(RAMP, 6))
    assert "EXIF data are left out" in caplog.text
    check_layout(encode("WEBP", source, source.pixels), turned(RAMP, 6))


def test_what_a_tiff_holds_beside_exif_data_is_not_among_them() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    beside = {0x2BC: xmp_packet("recipe", "an earlier edit"), 0x10F: "maker"}
    source = decode_image(saved("TIFF", tiffinfo=beside, icc_profile=profile), "source")
    seen = Image.Exif()
    seen.load(source.exif or b"")
    assert dict(seen) == {0x10F: "maker"}
    assert source.icc_profile == profile


def test_damaged_exif_data_stop_no_picture_and_turn_none() -> None:
    exif = tags(6)
    exif[0x11A] = 72.0
    exif[0x8769] = {0x829A: (1, 3), 0x9286: b"x" * 20}
    raw, dice = exif.tobytes(), random.Random(1)
    for _ in range(150):
        damaged = bytearray(raw)
        for _ in range(dice.choice((1, 2, 5, 20))):
            damaged[dice.randrange(6, len(raw))] = dice.randrange(256)
        source = decode_image(
            saved("PNG", exif=bytes(damaged[: dice.choice((len(raw), dice.randrange(6, len(raw))))])), "x"
        )
        for kind in KINDS:
            again = decode_image(encode(kind, source, source.pixels), "result")
            assert np.abs(again.pixels.astype(int) - source.pixels).mean() < 4


@pytest.mark.parametrize("header", [b"P6 40 24 65535\n", b"P6 40 24 1023\n"])
def test_a_ppm_of_many_levels_is_not_cut_in_silence(header: bytes) -> None:
    with pytest.raises(UserError, match=r"deep\.ppm is a PPM of up to \d+ levels.*save it as PNG or TIFF"):
        decode_image(header + bytes(W * H * 6), "deep.ppm")


def test_what_is_no_raw_file_may_be_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "photo.nef"
    path.write_bytes(saved("JPEG"))
    assert load_image(path).size == (H, W)


def test_a_source_without_exif_data_gets_none() -> None:
    source = SourceImage(RAMP)
    assert all(not Image.open(io.BytesIO(encode(kind, source, RAMP))).info.get("exif") for kind in KINDS)
