"""DAI in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dragflow.bench.metrics.accuracy import dai

SOURCE = np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def moved(dx: int, dy: int) -> np.ndarray:
    return np.roll(SOURCE, (dy, dx), (0, 1))


@pytest.mark.parametrize("radius", [0, 1, 5])
def test_what_arrived_whole_has_no_error(radius: int) -> None:
    assert dai(SOURCE, moved(7, -4), [(20, 25), (30.4, 20.4)], [(27, 21), (37, 16)], radius) == 0
    assert dai(SOURCE, moved(7, -4), [(20, 25)], [(28, 21)], radius) > 0.1


@pytest.mark.parametrize("radius", [1, 5, 10])
def test_a_constant_difference_counts_once_a_channel(radius: int) -> None:
    dark, light = np.full((40, 60, 3), 100, np.uint8), np.full((40, 60, 3), 151, np.uint8)
    assert dai(dark, light, [(20, 20)], [(30, 20)], radius) == pytest.approx(3 * 0.4**2)
    light[..., 1:] = 100
    assert dai(dark, light, [(20, 20)], [(30, 20)], radius) == pytest.approx(0.4**2)


def test_one_pixel_is_divided_by_the_patch() -> None:
    black = np.zeros((40, 60, 3), np.uint8)
    spot = black.copy()
    spot[21, 32] = 255
    assert dai(black, spot, [(5, 5)], [(30, 20)], 2) == pytest.approx(3 * 4 / 25)
    assert dai(black, spot, [(5, 5)], [(30, 20)], 1) == 0


def test_it_is_the_mean_over_points() -> None:
    black, spot = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    spot[20, 30] = 255
    assert dai(black, spot, [(5, 5), (5, 5)], [(30, 20), (40, 20)], 0) == pytest.approx(3 * 4 / 2)


def test_a_patch_that_the_border_cuts_has_fewer_pixels() -> None:
    black, spot = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    spot[0, 0] = 255
    assert dai(black, spot, [(30, 20)], [(0, 0)], 3) == pytest.approx(3 * 4 / 16)
    # the handle's patch is cut on the left, the target's at the bottom: 1 + 2 columns less, and rows
    right = np.zeros((40, 60, 3), np.uint8)
    right[39, 30] = 255
    assert dai(black, right, [(1, 20)], [(30, 39)], 3) == pytest.approx(3 * 4 / ((1 + 1 + 3) * (3 + 1)))
    assert dai(SOURCE, SOURCE, [(59.5, 39.5)], [(59, 39)], 20) == 0


def test_without_points_there_is_none() -> None:
    assert math.isnan(dai(SOURCE, SOURCE, [], [], 1))
