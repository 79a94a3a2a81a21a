"""What is taken away: layers that look like the preview, an OpenRaster file, a sample that is read again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZIP_STORED, ZipFile

import cv2
import numpy as np
import pytest
from PIL import Image

from dragflow.core.errors import UserError
from dragflow.core.motion import Affine, Rotate, Scale, Translate
from dragflow.core.task import Instruction, MaskArray, Operation
from dragflow.files import exports
from dragflow.files.encoding import FORMATS, encode, encode_png
from dragflow.files.exports import Result, decode_result, export, left_out, load_result
from dragflow.files.instructions import parse_instruction
from dragflow.files.openraster import RasterLayer, flattened
from dragflow.files.pictures import SourceImage, decode_image, from_pixels
from dragflow.files.red_bench import SampleFields, load_red_bench
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve
from dragflow.pixels.shadow import find_shadow
from dragflow.world import drag_case

SIZE = (96, 128)
ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
BALL, BOX = np.hypot(xs - 40, ys - 48) <= 14, (abs(xs - 90) <= 9) & (abs(ys - 30) <= 9)


def picture() -> SourceImage:
    pixels = np.random.default_rng(0).normal((70, 120, 90), 4, (*SIZE, 3))
    pixels[BALL], pixels[BOX] = (200, 60, 50), (60, 70, 200)
    return from_pixels(np.clip(pixels, 0, 255).astype(np.uint8))


def asked(*motions: Any) -> Instruction:
    moves = motions or (Translate((70, 60)), Rotate((90, 40), degrees=20))
    return Instruction([Operation(MaskArray(m), move) for m, move in zip((BALL, BOX), moves, strict=False)], "a ball")


def opened(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def laid(pictures: list[Any]) -> Any:
    """RGBA pictures of one size over each other, by Pillow."""
    shown = Image.new("RGBA", pictures[0].size)
    for each in pictures:
        shown = Image.alpha_composite(shown, each)
    return np.asarray(shown)


def raster_layers(data: bytes) -> list[tuple[str, bool, Any]]:
    """Name, visibility and whole picture of an OpenRaster file's layers, the lowest first."""
    with ZipFile(io.BytesIO(data)) as file:
        root = ElementTree.fromstring(file.read("stack.xml"))
        size = (int(root.attrib["w"]), int(root.attrib["h"]))
        found = []
        for layer in reversed(list(root.iter("layer"))):
            whole = Image.new("RGBA", size)
            piece = Image.open(io.BytesIO(file.read(layer.attrib["src"]))).convert("RGBA")
            whole.paste(piece, (int(layer.attrib["x"]), int(layer.attrib["y"])))
            found.append((layer.attrib["name"], layer.attrib["visibility"] == "visible", whole))
    return found


@pytest.mark.parametrize(
    ("kind", "seed", "label"),
    [
        ("translate", 308, "relocation"),
        ("rotate", 301, "relocation"),  # with a shadow
        ("scale", 301, "relocation"),
        ("stretch", 309, "deformation"),
    ],
)
def test_the_layers_of_a_scene_look_like_its_preview(kind: str, seed: int, label: Any) -> None:
    case = drag_case(seed, kind, 192, "test")
    instruction = Instruction(Operation(MaskArray(case.mask), Affine(case.motion.matrix, label)))
    task = resolve(case.source, instruction)
    taken = export(from_pixels(case.source), instruction)
    layers = raster_layers(taken.openraster())
    shown = laid([whole for _, visible, whole in layers if visible])
    assert (shown[..., 3] == 255).all()
    apart = np.abs(shown[..., :3].astype(int) - draw_preview(task, texture=True))
    assert apart.max() <= 4
    assert np.quantile(apart, 0.999) <= 2


def test_shadows_and_what_stays_in_front_are_in_the_layers_too() -> None:
    ground = np.full((160, 200, 3), 180.0)
    for x in range(0, 200, 8):
        ground[:, x : x + 4] *= 0.97
    y, x = np.mgrid[:160, :200]
    thing = (abs(x - 70) <= 22) & (abs(y - 70) <= 22)
    dark = np.asarray(Image.fromarray(thing).convert("L").resize((200, 160)), float) / 255
    shade = cv2.GaussianBlur(np.roll(dark, (9, 9), (0, 1)), (0, 0), 2.5)
    ground *= (1 - 0.5 * shade)[..., None]
    ground[thing] = (60, 90, 200)
    post = abs(x - 150) <= 5
    ground[post] = (40, 30, 20)
    pixels = ground.round().astype(np.uint8)
    assert find_shadow(pixels, thing) is not None
    task = Instruction(Operation(MaskArray(thing), Translate((150, 80)), behind=MaskArray(post)))
    layers = raster_layers(export(from_pixels(pixels), task, ["Thing"]).openraster())
    assert [name for name, _, _ in layers] == ["Picture", "Background", "Thing: shadow", "Thing"]
    shown = laid([whole for _, visible, whole in layers if visible])[..., :3]
    assert np.abs(shown.astype(int) - draw_preview(resolve(pixels, task), texture=True)).max() <= 3
    assert np.abs(shown[80, 150].astype(int) - (40, 30, 20)).max() <= 3


def test_an_openraster_file_is_laid_out_as_its_specification_says() -> None:
    source = picture()
    data = export(source, asked(), ["Ball <&> \x00", ""]).openraster()
    with ZipFile(io.BytesIO(data)) as file:
        first = file.infolist()[0]
        assert (first.filename, first.compress_type, file.read("mimetype")) == (
            "mimetype",
            ZIP_STORED,
            b"image/openraster",
        )
        assert data[30:54] == b"mimetypeimage/openraster"  # so that it can be told without unpacking
        merged = opened(file.read("mergedimage.png"))
        thumbnail = Image.open(io.BytesIO(file.read("Thumbnails/thumbnail.png")))
        assert file.testzip() is None
    layers = raster_layers(data)
    assert [name for name, _, _ in layers] == ["Picture", "Background", "Ball <&>", "Region 2"]
    assert np.abs(merged.astype(int) - laid([whole for _, visible, whole in layers if visible])).max() <= 1
    assert (merged.shape, max(thumbnail.size)) == ((*SIZE, 4), 128)
    assert np.array_equal(np.asarray(layers[0][2])[..., :3], source.pixels)


def test_the_zip_holds_layers_masks_result_and_everything_else() -> None:
    source = picture()
    result = Result(encode_png(source, 255 - source.pixels), 255 - source.pixels)
    called = ["The ball", "../../etc/a\\b"]
    data = export(source, asked(), called, result).encoded("all")
    assert data == export(source, asked(), called, result).encoded("all")
    with ZipFile(io.BytesIO(data)) as file:
        names = file.namelist()
        assert names[:6] == [
            "result.png",
            "instruction.json",
            "masks/1-the-ball.png",
            "masks/2-etc-a-b.png",
            "layers/0-background.png",
            "layers/1-the-ball.png",
        ]
        assert file.read("result.png") == result.data
        task = resolve(source.pixels, asked())
        again = resolve(source.pixels, parse_instruction(file.read("instruction.json").decode(), "zip"))
        for number, name in enumerate(names[2:4]):
            mask = opened(file.read(name)) > 127
            assert np.array_equal(mask, task.operations[number].mask)
            assert np.array_equal(mask, again.operations[number].mask)
        layers = [Image.open(io.BytesIO(file.read(name))) for name in names if name.startswith("layers/")]
        assert np.abs(laid(layers)[..., :3].astype(int) - draw_preview(task, texture=True)).max() <= 3
        hidden = raster_layers(file.read("layers.ora"))[-1]
        assert (hidden[:2], np.array_equal(np.asarray(hidden[2])[..., :3], 255 - source.pixels)) == (
            ("Result", False),
            True,
        )


def test_a_sample_says_what_was_entered(tmp_path: Path) -> None:
    fields = SampleFields(
        background_prompt="a red ball",
        editing_prompt="it has moved",
        tasks=["transformation", None],
        begin_points=[(40, 48)],
        target_points=[(70, 60)],
    )
    data = export(picture(), asked()).encoded("red_bench", fields)
    with ZipFile(io.BytesIO(data)) as file:
        file.extractall(tmp_path)
    sample = load_red_bench(tmp_path / "red_bench")
    assert (sample.instruction.prompt, sample.instruction.edit_prompt) == ("a red ball", "it has moved")
    assert (sample.begin_points, sample.target_points) == (((40, 48),), ((70, 60),))
    first, second = sample.instruction.operations
    assert np.array_equal(first.region.array, BALL)  # pyright: ignore[reportAttributeAccessIssue]
    assert first.motion == Translate((70, 60), "relocation")
    assert isinstance(second.motion, Rotate)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tasks": ["relocation"]}, "1 entries for 2 operations"),
        ({"tasks": ["rotation", None]}, "operation 0 moves without turning"),
        ({"tasks": [None, "relocation"]}, "operation 1 turns"),
        ({"begin_points": [(4, 4)]}, "1 `begin_points` and 0 `target_points`"),
        ({"begin_points": [(4, 4)], "target_points": [(400, 4)]}, "`target_points.0`: (400, 4) is outside"),
    ],
)
def test_a_sample_that_contradicts_its_operations_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        export(picture(), asked()).encoded("red_bench", SampleFields(**fields))
    assert words in str(error.value)


@pytest.mark.parametrize("motion", [Scale((40, 48), 1.2), Affine(((1.1, 0, 3), (0, 1.1, 5)))], ids=str)
def test_what_red_bench_cannot_say_is_left_out_of_everything_with_its_reason(motion: Any) -> None:
    taken = export(picture(), asked(motion))
    data = taken.encoded("all")
    assert "ReD Bench has relocation, deformation and rotation only" in str(left_out(data))
    with ZipFile(io.BytesIO(data)) as file:
        assert [name for name in file.namelist() if name.startswith("red_bench")] == ["red_bench/missing.txt"]
        assert b"ReD Bench has relocation, deformation and rotation only" in file.read("red_bench/missing.txt")
    for what, fields in (("red_bench", None), ("all", SampleFields())):
        with pytest.raises(UserError, match="relocation, deformation and rotation only"):
            taken.encoded(what, fields)  # pyright: ignore[reportArgumentType]


def test_a_result_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture()
    (tmp_path / "made.png").write_bytes(encode_png(source, 255 - source.pixels))
    decoded: list[str] = []
    monkeypatch.setattr(exports, "decode_image", lambda data, name: decoded.append(name) or decode_image(data, name))
    assert export(source, asked(), result=load_result(tmp_path / "made.png")).encoded("all")
    assert decoded == [str(tmp_path / "made.png")]


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".avif", ".jpg"])
def test_a_result_of_any_format_that_is_written_is_taken_away(suffix: str) -> None:
    source = picture()
    data = encode(FORMATS[suffix], source, source.pixels, {"dragflow": "{}"})
    files = export(source, asked(), result=decode_result(data, "in `result`")).encoded("all")
    with ZipFile(io.BytesIO(files)) as file:
        assert file.read(f"result{suffix}") == data
        assert b'name="Result"' in ZipFile(io.BytesIO(file.read("layers.ora"))).read("stack.xml")


def test_a_sample_needs_neither_guesses_nor_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(exports, "resolve", never)
    assert export(picture(), asked(), layers=never).encoded("red_bench")


def test_what_is_transparent_stays_so() -> None:
    opaque = picture()
    alpha = np.where(xs < 64, 255, 0).astype(np.uint8)
    layers = raster_layers(export(SourceImage(opaque.pixels, alpha), asked()).openraster())
    assert np.array_equal(laid([whole for _, visible, whole in layers if visible])[..., 3], alpha)


def test_a_result_of_another_picture_and_surplus_names_are_refused() -> None:
    other = from_pixels(np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(UserError, match="`result` is 60 x 50, the picture 128 x 96"):
        export(picture(), asked(), result=Result(encode_png(other, other.pixels), other.pixels))
    gif = io.BytesIO()
    Image.new("RGB", (128, 96)).save(gif, "GIF")
    wrong = ((gif.getvalue(), "is a GIF, in which no result is written: give the file"), (b"\x89PNG", "can be read"))
    for data, words in wrong:
        with pytest.raises(UserError, match=f"picture in `result` .*({words})"):
            decode_result(data, "in `result`")
    with pytest.raises(UserError, match="3 `names` are given for 2 regions"):
        export(picture(), asked(), ["a", "b", "c"])


def test_layers_that_are_half_transparent_are_laid_over_each_other_in_their_order() -> None:
    red, blue = np.zeros((2, 2, 4, 4), np.uint8)
    red[...], blue[:, 2:] = (200, 0, 0, 128), (0, 0, 200, 255)
    shown = flattened([RasterLayer("", red), RasterLayer("", blue), RasterLayer("", red, visible=False)], (2, 4))
    assert shown[0, 0].tolist() == [200, 0, 0, 128]
    assert shown[0, 3].tolist() == [0, 0, 200, 255]
