"""The background plate: smooth where nothing repeats, a continuation where something does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.pixels.fill.copies import repeats, ring_of
from dragflow.pixels.fill.edges import READINGS, Reading, continued
from dragflow.pixels.fill.membrane import membrane
from dragflow.pixels.fill.rim import with_blurred_rim
from dragflow.pixels.masks import dilate
from dragflow.pixels.plate import background_plate

H, W = 96, 128
Y, X = np.mgrid[:H, :W].astype(np.float32)


def hole(top: int = 30, left: int = 50, bottom: int = 60, right: int = 84) -> NDArray[np.bool_]:
    mask = np.zeros((H, W), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.repeat(np.clip(np.rint(values), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def with_object(image: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(where[..., None], np.array([255, 0, 80], np.uint8), image)


def worst(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> int:
    return int(np.abs(image.astype(int) - truth.astype(int)).max())


def mean_error(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """In the hole, in grey levels."""
    return float(np.abs(image.astype(int) - truth.astype(int)).mean(where=hole()[..., None]))


def test_a_linear_membrane_is_exact() -> None:
    truth = np.stack([X, 2 * Y, X + Y], axis=-1)
    broken = np.where(hole()[..., None], 0, truth).astype(np.float32)
    assert np.abs(membrane(broken, hole()) - truth).max() < 1.0


def test_a_gradient_goes_on_through_the_hole() -> None:
    truth = grey(40 + X + 0.5 * Y)
    assert worst(background_plate(with_object(truth, hole()), hole()), truth) <= 3


@pytest.mark.parametrize(
    "pattern",
    [
        255.0 * ((X // 7) % 2),
        255.0 * (((X + 2 * Y) // 12) % 2),
        255.0 * (((X // 9) + (Y // 9)) % 2),
        60.0 + 180 * (((Y // 8) % 2) == 0) * (((X + 10 * ((Y // 8) % 4 // 2)) // 3) % 7 > 0),
    ],
    ids=["stripes", "slanting", "checks", "bricks"],
)
def test_what_repeats_goes_on(pattern: NDArray[np.float32]) -> None:
    truth = grey(pattern)
    assert mean_error(background_plate(with_object(truth, hole()), hole()), truth) < 3  # the membrane alone: 60 to 120


def test_a_pattern_keeps_the_light_of_its_place() -> None:
    truth = grey((120 + 100 * ((X // 8) % 2)) * (0.4 + 0.6 * X / W))
    assert mean_error(background_plate(with_object(truth, hole()), hole()), truth) < 15


def test_another_object_is_not_copied() -> None:
    truth = grey(255.0 * ((X // 8) % 2))
    other = hole(36, 20, 48, 32)
    assert mean_error(background_plate(with_object(with_object(truth, other), hole()), hole()), truth) < 6


def test_nothing_is_copied_where_nothing_repeats() -> None:
    noise = np.random.default_rng(0).normal(128, 30, (H, W, 3)).astype(np.float32)
    assert repeats(noise, hole(), ring_of(hole())) == []
    assert repeats(np.full((H, W, 3), 90, np.float32), hole(), ring_of(hole())) == []


def test_only_the_hole_and_its_rim_change() -> None:
    image = np.random.default_rng(1).integers(0, 256, (H, W, 3), dtype=np.uint8)
    changed = (background_plate(image, hole()) != image).any(-1)
    assert not (changed & ~hole(28, 48, 62, 86)).any()


@pytest.mark.parametrize(
    "mask",
    [hole(0, 0, 40, 40), hole(0, 0, H, W - 1), hole(0, 0, H, W), hole(5, 5, 6, 6)],
    ids=["corner", "nearly all", "all", "one pixel"],
)
def test_any_hole_can_be_filled(mask: NDArray[np.bool_]) -> None:
    truth = grey(np.full((H, W), 130.0, np.float32))
    filled = background_plate(truth, mask)
    assert filled.shape == truth.shape
    assert worst(filled, truth) <= 130


def test_a_large_picture_is_filled_at_a_smaller_size() -> None:
    truth = np.repeat(np.repeat(grey(40 + X + 0.5 * Y), 8, 0), 8, 1)
    mask = np.repeat(np.repeat(hole(), 8, 0), 8, 1)
    assert worst(background_plate(with_object(truth, mask), mask), truth) <= 6


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.0, 2.2])
def test_an_edge_goes_on_through_the_hole(angle: float) -> None:
    truth = grey(np.where(np.cos(angle) * (X - 66) + np.sin(angle) * (Y - 45) > 0, 200, 60).astype(np.float32))
    broken = with_object(truth, hole()).astype(np.float32)
    carried = mean_error(np.rint(continued(broken, hole())).clip(0, 255).astype(np.uint8), truth)
    assert carried < 0.5 * mean_error(np.rint(membrane(broken, hole())).astype(np.uint8), truth)


def test_without_contrast_edges_solve_laplaces_equation() -> None:
    truth = np.repeat((100 + np.exp(X / 40) * np.cos(Y / 40) * 4)[..., None], 3, axis=2)  # harmonic
    broken = np.where(hole()[..., None], 0, truth).astype(np.float32)
    assert np.abs(continued(broken, hole(), (Reading(contrast=1e4, blur=5),)) - truth).max() < 0.05


def test_several_readings_of_edges_are_averaged() -> None:
    broken = with_object(grey(255.0 * ((X + 2 * Y) > 150)), hole()).astype(np.float32)
    alone = [continued(broken, hole(), (reading,)) for reading in READINGS]
    assert np.abs(alone[0] - alone[1]).max() > 1
    assert np.abs(continued(broken, hole()) - np.mean(alone, axis=0)).max() < 0.01


def test_a_copy_that_only_resembles_the_ring_is_not_trusted() -> None:
    # Two blobs of the same brightness as one beside the hole: a copy would put the other's neighbour into it.
    truth = grey(120 + 0 * X)
    truth[32:44, 40:48] = truth[32:44, 8:16] = 20
    truth[32:50, 20:34] = 230
    assert mean_error(background_plate(with_object(truth, hole()), hole()), truth) < 12


def test_the_rim_is_filled_where_a_region_ends_at_an_edge_and_kept_where_it_does_not() -> None:
    truth = grey(90 + 60 * np.sin(X / 9) * np.sin(Y / 7)).astype(np.float32)
    assert np.array_equal(with_blurred_rim(truth, hole()), hole())
    soft = cv2.GaussianBlur(hole().astype(np.float32), (0, 0), 1.2)[..., None]
    assert np.array_equal(with_blurred_rim(truth * (1 - soft) + 255 * soft, hole()), dilate(hole(), 2))


def test_what_the_hole_holds_does_not_matter() -> None:
    truth = grey(90 + 60 * np.sin(X / 9) * np.sin(Y / 7))
    first, second = (
        background_plate(np.where(hole()[..., None], np.array(colour, np.uint8), truth), hole())
        for colour in ((255, 0, 80), (0, 0, 0))
    )
    assert np.array_equal(first, second)


def test_the_coarse_plate_is_smooth_and_the_fine_one_is_not() -> None:
    truth = grey(255.0 * ((X // 7) % 2))
    broken = with_object(truth, hole())
    fine, coarse = (mean_error(background_plate(broken, hole(), coarse=coarse), truth) for coarse in (False, True))
    assert fine < 3 < coarse


def test_a_speck_in_a_large_picture_is_filled() -> None:
    truth = np.full((1200, 1400, 3), 130, np.uint8)
    speck = np.zeros(truth.shape[:2], np.bool_)
    speck[700, 801] = True
    assert worst(background_plate(with_object(truth, speck), speck), truth) <= 1


def test_a_hole_of_a_large_picture_is_filled_from_what_is_around_it() -> None:
    rng = np.random.default_rng(4)
    picture = np.kron(rng.integers(60, 200, (60, 80, 3)), np.ones((20, 20, 1), int)).astype(np.uint8)  # 1200 x 1600
    hole = np.zeros(picture.shape[:2], np.bool_)
    hole[500:560, 700:760] = True
    window = (slice(500 - 64, 560 + 64), slice(700 - 64, 760 + 64))
    filled = background_plate(picture, hole)
    assert np.array_equal(filled[window], background_plate(picture[window], hole[window]))
    elsewhere = np.ones_like(hole)
    elsewhere[window] = False
    assert np.array_equal(filled[elsewhere], picture[elsewhere])
