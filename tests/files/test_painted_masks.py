"""One rule for every mask: a region as it was painted, or a refusal, in every format, depth, colour and softness."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.arrays import Mask
from dragflow.core.errors import UserError
from dragflow.core.motion import Translate
from dragflow.core.task import Box, Instruction, MaskArray, MaskFile, MaskImage, Operation
from dragflow.files.instructions import dump_instruction, parse_instruction
from dragflow.files.masks import freeze, frozen
from dragflow.pixels.masks import rasterise
from dragflow.pixels.resolve import resolve

H, W = 96, 128
COLOURS = [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (200, 120, 40)]


def ellipse(centre: tuple[float, float] = (60, 45), radii: tuple[float, float] = (30, 20), scale: int = 1) -> Mask:
    ys, xs = (np.mgrid[: H * scale, : W * scale] + 0.5) / scale - 0.5
    return ((xs - centre[0]) / radii[0]) ** 2 + ((ys - centre[1]) / radii[1]) ** 2 <= 1


def smooth(scale: int = 4) -> NDArray[np.float64]:
    """The ellipse with an antialiased edge, 0 to 1."""
    return ellipse(scale=scale).reshape(H, scale, W, scale).mean(axis=(1, 3))


def photograph(seed: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(30, 220, (12, 16, 3)), (W, H), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + rng.normal(0, 4, (H, W, 3)), 0, 255).astype(np.uint8)


def stored(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The picture after it was written in a format and read again."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    back = Image.open(buffer)
    back.load()
    return back


def overlap(ours: Mask, theirs: Mask) -> float:
    return float((ours & theirs).sum() / (ours | theirs).sum())


def read(painted: Image.Image | NDArray[Any], **choice: Any) -> Mask:
    region = (
        MaskImage(painted, None, **choice) if isinstance(painted, Image.Image) else MaskArray(painted, "", **choice)
    )
    return rasterise(frozen(region), (H, W))


def eight(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(values).astype(np.uint8)


# -- what is understood ------------------------------------------------------------------------------------------------

HARD = ellipse()
FLAT = np.broadcast_to(np.array([255, 0, 0]), (H, W, 3))
EXACT: dict[str, Image.Image | NDArray[Any]] = {
    "bool array": HARD,
    "array of 0 and 1": HARD.astype(np.uint8),
    "int64 array": HARD.astype(np.int64) * 255,
    "float array to 1": HARD.astype(np.float32),
    "float array to 0.3": HARD * 0.3,
    "float array to 255": HARD * 255.0,
    "16-bit array": HARD.astype(np.uint16) * 40000,
    "array with a channel": eight(HARD * 255.0)[..., None],
    "colour array": eight(HARD[..., None] * np.array([0, 90, 200])),
    "array with alpha": np.dstack([eight(FLAT), eight(HARD * 128.0)]),
    "1-bit picture": Image.fromarray(HARD),
    "16-bit picture": Image.fromarray(HARD.astype(np.uint16) * 300),
    "float picture": Image.fromarray(HARD.astype(np.float32)),
    "32-bit picture": Image.fromarray(HARD.astype(np.int32) * 7),
    "one step above black": Image.fromarray(HARD.astype(np.uint8)),
    "HSV picture": Image.fromarray(eight(HARD[..., None] * FLAT)).convert("HSV"),
    "CMYK picture": Image.fromarray(eight(HARD * 255.0)).convert("RGB").convert("CMYK"),
    "palette picture": Image.fromarray(eight(HARD[..., None] * FLAT)).convert("P", palette=Image.Palette.ADAPTIVE),
    "grey and alpha": Image.fromarray(np.dstack([eight(HARD * 0.0), eight(HARD * 255.0)])),
    "black on transparency": Image.fromarray(np.dstack([eight(FLAT * 0), eight(HARD * 255.0)])),
    "white with a transparent background": Image.fromarray(
        np.dstack([eight(HARD[..., None] * 255 + FLAT * 0), eight(HARD * 255.0)])
    ),
    "black and white, part of the black transparent": Image.fromarray(
        np.dstack(
            [eight(HARD[..., None] * 255 + FLAT * 0), np.where(np.arange(W) < 100, 255, 0) + eight(FLAT[..., 0] * 0)]
        ).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_two_levels_are_read_exactly(name: str) -> None:
    assert np.array_equal(read(EXACT[name]), HARD)


@pytest.mark.parametrize("depth", [1, 8, 16])
def test_a_file_of_any_depth_is_read_as_the_picture_is(depth: int, tmp_path: Path) -> None:
    image = {1: Image.fromarray(HARD), 8: Image.fromarray(eight(HARD * 90.0)), 16: EXACT["16-bit picture"]}[depth]
    for name in ("m.png", "m.tif"):
        image.save(tmp_path / name)  # pyright: ignore[reportAttributeAccessIssue]
        assert np.array_equal(frozen(MaskFile(tmp_path / name)).array, HARD)


def test_quick_mask_red_of_half_strength_on_transparency_is_the_region() -> None:
    layer = np.dstack([eight(FLAT), eight(smooth() * 128)])
    assert overlap(read(Image.fromarray(layer)), smooth() > 0.5) > 0.98


def test_no_array_of_the_caller_is_kept() -> None:
    mine = HARD.copy()
    held = np.asarray(frozen(MaskArray(mine)).array)
    task = resolve(photograph(), Instruction(Operation(MaskArray(mine), Translate((80, 50)))))
    mine[:] = False
    assert np.array_equal(held, HARD)
    assert np.array_equal(task.operations[0].mask, HARD)


# -- what is refused, and the choices that help ------------------------------------------------------------------------

LABELS = eight(HARD * 1.0 + ellipse((100, 70), (14, 12)) * 2)
SECOND = LABELS == 2


def test_a_label_is_chosen_by_value_index_or_colour() -> None:
    palette = Image.fromarray(LABELS).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    for painted, names in ((LABELS, (1, 2)), (palette, (1, "2")), (palette.convert("RGB"), ("#800000", "#008000"))):
        with pytest.raises(UserError, match=r"3 labels: .*`mask.label`"):
            read(painted)
        assert np.array_equal(read(painted, label=names[0]), HARD & ~SECOND)
        assert np.array_equal(read(painted, label=names[1]), SECOND)
        assert np.array_equal(read(painted, label=names[1], invert=True), ~SECOND)
        with pytest.raises(UserError, match=r"no label '9': it holds 3 labels"):
            read(painted, label=9)


def test_labels_whose_edges_compression_has_lost_are_refused_with_and_without_a_choice() -> None:
    image = stored(Image.fromarray(LABELS * 100), "JPEG", quality=60)
    for choice in ({}, {"label": 100}, {"label": 200}):
        with pytest.raises(UserError):
            read(image, **choice)


REFUSED: dict[str, tuple[Image.Image | NDArray[Any], str]] = {
    "photograph": (photograph(), "photograph"),
    "grey photograph": (Image.fromarray(photograph()).convert("L"), "photograph"),
    "cut-out on black": (eight(photograph() * HARD[..., None]), "certain|photograph"),
    "cut-out on transparency": (
        np.dstack([photograph(), eight(HARD * 255.0)]),
        "photograph .* transparent; .*`mask.invert`",
    ),
    "half red over a photograph": (
        eight(photograph() * (1 - HARD[..., None] / 2) + FLAT * HARD[..., None] / 2),
        "photograph",
    ),
    "nothing": (np.zeros((H, W), np.uint8), "empty: its brightest value is 0"),
    "nothing but transparency": (np.zeros((H, W, 4), np.uint8), "wholly transparent"),
    "everything": (np.full((H, W), 200, np.uint8), "covers the whole picture"),
    "black on white": (eight(255.0 - HARD * 255), "covers .* inverted"),
    "a frame around a large object": (
        eight(255.0 - ellipse((63, 47), (63, 47)) * 255),
        "holds 100 % of the picture's rim",
    ),
    "red on white": (eight(255 - HARD[..., None] * np.array([0, 255, 255])), "neither of them black"),
    "viridis": (np.where(HARD[..., None], (253, 231, 37), (68, 1, 84)).astype(np.uint8), "neither of them black"),
    "bright where it is transparent": (
        np.dstack([np.where(HARD[..., None], 255, 0) + FLAT * 0, np.where(HARD, 0, 255)]).astype(np.uint8),
        "contradicts itself",
    ),
    "two strokes of two colours": (np.dstack([HARD * 255, SECOND * 255, SECOND * 0]).astype(np.uint8), "labels"),
    "two strengths": (np.where(SECOND, 90, HARD * 255).astype(np.uint8), "labels"),
    "logits": (np.where(HARD, 4.5, -7.25), "below 0"),
    "not a number": (np.where(HARD, np.nan, 0), "not finite"),
    "a stack": (np.stack([HARD, HARD]), "array of 2 x 96 x 128"),
    "text": (np.full((H, W), "x"), "of numbers"),
    "a wide brush": (eight(np.clip(1 - np.hypot(*(np.mgrid[:H, :W] - 48)) / 40, 0, 1) * 255), "certain|photograph"),
    "a gradient": (eight(np.tile(np.linspace(0, 255, W), (H, 1))), "certain|photograph"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_in_doubt_is_refused_in_a_sentence(name: str) -> None:
    painted, words = REFUSED[name]
    with pytest.raises(UserError, match=words) as raised:
        read(painted)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", ["black on white", "red on white", "bright where it is transparent"])
def test_what_was_refused_is_read_with_the_choice(name: str) -> None:
    assert np.array_equal(read(REFUSED[name][0], invert=True), HARD)
    assert np.array_equal(read(REFUSED[name][0], invert=False), ~HARD)


@pytest.mark.parametrize("mode", ["LAB"])
def test_a_colour_mode_without_brightness_is_named(mode: str) -> None:
    with pytest.raises(UserError, match=mode):
        read(Image.new(mode, (W, H)))


def test_a_mask_of_the_picture_lying_on_its_side_is_told_so() -> None:
    asked = freeze(Instruction(Operation(MaskArray(HARD.T), Translate((80, 50)))))
    with pytest.raises(UserError, match=r"96 x 128, the picture 128 x 96 .*EXIF"):
        resolve(photograph(), asked)


def test_an_area_may_be_the_whole_picture() -> None:
    asked = Instruction(Operation(MaskArray(HARD), Translate((80, 50))), editable=np.ones((H, W), np.uint8))
    assert resolve(photograph(), freeze(asked)).area.all()


def test_a_large_region_that_was_confirmed_stays_so_in_its_file() -> None:
    asked = Instruction(Operation(MaskArray(~HARD, invert=False), Translate((70, 50))), editable=Box(0, 0, 9, 9))
    text = dump_instruction(asked)
    back = parse_instruction(text, "here").operations[0].region
    assert isinstance(back, MaskArray)
    assert np.array_equal(back.array, ~HARD)
    with pytest.raises(UserError, match=r"here: operations\.0\.region: mask picture covers"):
        parse_instruction(text.replace('"invert": false', '"invert": null'), "here")


# -- never a wrong region in silence -----------------------------------------------------------------------------------


@st.composite
def paintings(draw: st.DrawFn) -> tuple[Image.Image | NDArray[Any], Mask]:
    """A mask of an ellipse, painted somehow, and the ellipse."""
    centre = draw(st.floats(35, 90)), draw(st.floats(30, 65))
    radii = draw(st.floats(12, 30)), draw(st.floats(12, 30))
    truth = ellipse(centre, radii)
    cover = {
        "hard": lambda: truth * 1.0,
        "smooth": lambda: ellipse(centre, radii, 4).reshape(H, 4, W, 4).mean(axis=(1, 3)),
        "soft": lambda: cv2.GaussianBlur(truth * 1.0, (0, 0), draw(st.floats(0.5, 12))),
    }[draw(st.sampled_from(["hard", "smooth", "soft"]))]()
    cover = 1 - cover if draw(st.booleans()) and draw(st.booleans()) else cover
    paint = cover * draw(st.sampled_from([1.0, 1.0, 0.7, 0.4, 0.15]))
    colour = np.array(draw(st.sampled_from(COLOURS)))
    kind = draw(
        st.sampled_from(["grey", "colour", "alpha", "deep", "array", "palette", "white", "over", "cut", "clip"])
    )
    picture = photograph(draw(st.integers(1, 5)))
    coloured = eight(paint[..., None] * colour)
    painted: Image.Image | NDArray[Any] = {
        "grey": lambda: Image.fromarray(eight(paint * 255)),
        "colour": lambda: Image.fromarray(coloured),
        "alpha": lambda: Image.fromarray(np.dstack([eight(colour + coloured * 0.0), eight(paint * 255)])),
        "deep": lambda: Image.fromarray(np.rint(paint * 65535).astype(np.uint16)),
        "array": lambda: paint * draw(st.sampled_from([1.0, 255.0])),
        "palette": lambda: Image.fromarray(coloured).convert("P", palette=Image.Palette.ADAPTIVE),
        "white": lambda: Image.fromarray(eight(255 - paint[..., None] * (255 - colour))),
        "over": lambda: Image.fromarray(eight(picture * (1 - paint[..., None]) + coloured)),
        "cut": lambda: Image.fromarray(eight(picture * cover[..., None])),
        "clip": lambda: Image.fromarray(np.dstack([picture, eight(255 - cover * 255)])),
    }[kind]()
    if kind in ("grey", "colour") and draw(st.booleans()):
        quality = draw(st.integers(50, 95))
        painted = stored(painted, draw(st.sampled_from(["JPEG", "WEBP"])), quality=quality)  # pyright: ignore
    return painted, truth


@pytest.mark.slow
@settings(max_examples=400, derandomize=True)
@given(paintings())
def test_a_painted_mask_is_its_region_or_is_refused(case: tuple[Image.Image | NDArray[Any], Mask]) -> None:
    painted, truth = case
    try:
        region = read(painted)
    except UserError:
        return
    assert overlap(region, truth) >= 0.95


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("strength", [1.0, 0.7, 0.4])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_usual_kinds_are_not_refused(
    colour: tuple[int, int, int], strength: float, kind: str, *, soft: bool
) -> None:
    if colour == (0, 0, 255) and strength == 0.4 and kind != "PNG":
        pytest.skip("blue so dark is lost in compression, and refused")
    paint = cv2.GaussianBlur(smooth(), (0, 0), 2.0) if soft else smooth()
    image = stored(Image.fromarray(eight(paint[..., None] * np.array(colour) * strength)), kind, quality=85)
    assert overlap(read(image), smooth() > 0.5) >= 0.95


@pytest.mark.parametrize("value", [1e30, 1e-41, np.inf, np.nan])
def test_values_that_no_painting_has_are_refused(value: float) -> None:
    painted = np.where(HARD, np.float32(value), np.float32(0))
    with pytest.raises(UserError, match="not finite, or absurdly large or small"):
        frozen(MaskArray(painted))
