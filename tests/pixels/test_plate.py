"""The background plate: smooth where nothing repeats, a continuation where something does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragflow.pixels.plate import background_plate, membrane, repeats

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
    assert repeats(noise, hole()) == []
    assert repeats(np.full((H, W, 3), 90, np.float32), hole()) == []


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
