"""Sizes, and what reducing and enlarging keep."""

from __future__ import annotations

import numpy as np
import pytest

from dragflow.pixels.reduced import (
    enlarged,
    enlarged_mask,
    fitting,
    nearest_mask,
    reduced,
    reduced_mask,
    resampled,
    scaled,
    shrinkage,
)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 200), (100, 200)), ((400, 400), (200, 200)), ((1, 90_000), (1, 60_000))]
)
def test_a_picture_is_shrunk_to_so_many_pixels_and_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitting(size, 40_000) == expected
    assert scaled(size, shrinkage(size, 40_000)) == expected


def test_no_side_is_lost() -> None:
    assert scaled((3, 100), 0.1) == (1, 10)
    assert scaled((3, 100), 0.1, least=2) == (2, 10)


def test_a_reduced_pixel_is_the_mean_of_its_area() -> None:
    values = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    means = values.reshape(2, 2, 3, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced(values, (2, 3)) - means).max() <= 0.5
    np.testing.assert_allclose(resampled(values.astype(np.float32), (2, 3)), means)


def test_a_share_says_which_pixels_of_a_reduced_mask_count() -> None:
    mask = np.zeros((2, 6), np.bool_)
    mask[0, 2], mask[:, 4:] = True, True  # a quarter of the second pixel, all of the third
    assert reduced_mask(mask, (1, 3)).tolist() == [[False, False, True]]
    assert reduced_mask(mask, (1, 3), 0.0).tolist() == [[False, True, True]]


def test_a_mask_comes_back_where_it_was() -> None:
    mask = np.zeros((8, 12), np.bool_)
    mask[2:5, 3:9] = True
    for enlarge in (enlarged_mask, nearest_mask):
        large = enlarge(mask, (32, 48))
        assert large.sum() == pytest.approx(16 * mask.sum(), rel=0.1)
        assert large[8:20, 12:36][1:-1, 1:-1].all()


@pytest.mark.parametrize("larger", [enlarged, resampled])
def test_what_is_even_stays_even(larger: object) -> None:
    values = np.full((5, 7, 2), 3.5, np.float32)
    np.testing.assert_allclose(larger(values, (11, 20)), np.full((11, 20, 2), 3.5), atol=1e-5)  # pyright: ignore[reportCallIssue]
