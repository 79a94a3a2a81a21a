"""Cutting out: shares and colours of the rim are those that the picture was mixed from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.core.motion import Translate
from dragflow.core.task import Cut, Instruction, MaskArray, Operation
from dragflow.pixels.layers import layers_of
from dragflow.pixels.matte import CutOut, cut_out
from dragflow.pixels.preview import draw_preview
from dragflow.pixels.resolve import resolve

GREEN, RED = np.array([30.0, 160.0, 60.0]), np.array([220.0, 40.0, 50.0])


def disc(at: tuple[float, float], radius: float = 18.0, size: int = 96) -> NDArray[np.float64]:
    """(size, size): coverage of a disc, exact to a 64th."""
    ys, xs = np.mgrid[: 8 * size, : 8 * size] / 8 - 7 / 16
    inside = ((xs - at[0]) ** 2 + (ys - at[1]) ** 2 < radius**2).astype(np.float64)
    return inside.reshape(size, 8, size, 8).mean(axis=(1, 3))


def picture(share: NDArray[np.float64], behind: NDArray[np.float64] = GREEN) -> NDArray[np.uint8]:
    return np.rint(share[..., None] * RED + (1 - share[..., None]) * behind).astype(np.uint8)


@pytest.mark.parametrize("grown", [-1, 0, 1])
def test_the_share_of_every_pixel_is_that_of_the_disc_even_if_painted_a_pixel_off(grown: int) -> None:
    share = disc((40.3, 47.8))
    painted = disc((40.3, 47.8), 18.0 + grown) > 0.5
    piece = cut_out(picture(share), painted, "soft")
    assert np.abs(piece.alpha - share).max() < (0.15 if grown == 0 else 0.45)
    assert np.abs(piece.alpha - share).mean() < 0.004
    assert np.abs(piece.alpha - share).mean() < 0.35 * np.abs(painted - share).mean() + 0.001


def test_the_colours_of_the_rim_are_without_the_background() -> None:
    piece = cut_out(picture(disc((40.3, 47.8))), disc((40.3, 47.8)) > 0.5, "soft")
    assert np.abs(piece.colours[piece.support] - RED).max() <= 12
    assert np.abs(piece.colours[cv2.dilate(piece.support.astype(np.uint8), np.ones((3, 3))) > 0] - RED).max() <= 12


def test_a_hard_cut_is_the_region_blended_inwards_over_a_pixel() -> None:
    image, painted = picture(disc((40, 48))), disc((40, 48)) > 0.5
    piece = cut_out(image, painted, "hard")
    assert np.array_equal(piece.colours, image)
    assert np.array_equal(piece.alpha, cv2.GaussianBlur(painted.astype(np.float32), (3, 3), 0) * painted)


def test_where_colours_tell_nothing_texture_stays_and_the_painted_rim_counts() -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    painted = disc((40, 48)) > 0.5
    piece = cut_out(image, painted, "soft")
    assert np.corrcoef(piece.colours[painted].ravel(), image[painted].ravel())[0, 1] > 0.98
    assert piece.alpha[painted].mean() > 0.9
    assert piece.alpha[~painted].mean() < 0.01


@pytest.mark.parametrize(("cut", "least", "most"), [("hard", 8.0, 99.0), ("soft", 0.0, 2.0)])
def test_moved_to_another_background_no_halo_of_the_old_one_goes_along(cut: Cut, least: float, most: float) -> None:
    blue = np.array([40.0, 60.0, 200.0])
    behind = np.where(np.arange(192)[None, :, None] < 96, GREEN, blue) * np.ones((96, 1, 1))
    before = np.pad(disc((40.0, 48.0)), ((0, 0), (0, 96)))
    after = np.roll(before, 96, axis=1)
    move = Operation(MaskArray(before > 0.5), Translate((136, 48), "relocation"), (40, 48), cut)
    asked = resolve(picture(before, behind), Instruction(move), margin=4)
    shown = draw_preview(asked, layers_of(asked, plain=True))
    near = cv2.dilate((after > 0).astype(np.uint8), np.ones((3, 3))) > 0
    off = np.abs(shown.astype(float) - picture(after, behind)).max(axis=2)[near & (after < 1)]
    assert least <= off.mean() < most


@pytest.mark.parametrize("cut", ["hard", "soft"])
def test_a_region_at_the_border_of_the_picture_has_no_rim_there(cut: Cut) -> None:
    share = np.zeros((60, 60))
    share[20:40, :20] = 1
    assert cut_out(picture(share), share > 0, cut).alpha[25:35, :15].min() == 1


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_region_thinner_than_its_rim_is_still_there(size: int) -> None:
    share = np.zeros((40, 40))
    share[10:30, 20 : 20 + size] = 1
    piece = cut_out(picture(share), share > 0, "soft")
    assert piece.alpha[12:28, 20 : 20 + size].min() > 0.6
    assert np.abs(piece.colours[12:28, 20 : 20 + size] - RED).max() < 60


def test_the_hole_reaches_as_far_as_the_soft_rim() -> None:
    share = disc((40.3, 47.8))
    move = Operation(MaskArray(share > 0.5), Translate((70, 48), "relocation"), (40, 48), "soft")
    asked = resolve(picture(share), Instruction(move))
    filled: list[NDArray[np.bool_]] = []

    def fill(image: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
        filled.append(hole)
        return image.copy()

    layers_of(asked, fill, plain=True)
    assert not (cut_out(picture(share), share > 0.5, "soft").support & ~filled[0]).any()
    assert (filled[0] & (share <= 0.5)).any()


def test_what_moves_by_half_a_pixel_keeps_its_detail() -> None:
    xs = np.arange(96)
    waves = [np.rint(128 + 90 * np.cos(2 * np.pi * (xs - at) / 6)) for at in (0.0, 0.5)]
    before, after = (np.broadcast_to(wave[None, :, None], (96, 96, 3)).astype(np.uint8) for wave in waves)
    piece = CutOut(np.ones((96, 96), np.float32), before)
    colours, weight = piece.moved(((1.0, 0.0, 0.5), (0.0, 1.0, 0.0)), (96, 96))
    assert np.abs(colours - after)[:, 4:-4].mean() < 3  # bilinear sampling is off by 6.7
    assert weight[:, 4:-4].min() == 1


def test_what_becomes_smaller_does_not_alias() -> None:
    stripes = np.broadcast_to(np.where(np.arange(96) % 3 == 0, 250, 10)[None, :, None], (96, 96, 3)).astype(np.uint8)
    colours, _ = CutOut(np.ones((96, 96), np.float32), stripes).moved(((0.4, 0.0, 20.0), (0.0, 0.4, 20.0)), (96, 96))
    assert colours[25:50, 25:50].std() < 0.35 * stripes.std()  # 0.83 unless blurred first
