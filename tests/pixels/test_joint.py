"""A joint is where the colours of a region go on beyond its rim, and there alone."""

from __future__ import annotations

import numpy as np

from dragflow.pixels.attachment import rim
from dragflow.pixels.joint import joint_points

SIZE = (120, 120)
ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
HEAD = np.hypot(xs - 60, ys - 40) <= 20
NECK = (np.abs(xs - 60) <= 8) & (ys > 40)


def drawn(ground: tuple[int, int, int], neck: tuple[int, int, int]) -> np.ndarray:
    image = np.full((*SIZE, 3), ground, np.uint8)
    image[NECK] = neck
    image[HEAD] = (200, 120, 90)
    return image


def test_the_neck_is_found_and_nothing_else() -> None:
    points, _ = rim(HEAD)
    joined = joint_points(drawn((60, 120, 60), (196, 118, 92)), HEAD, points)
    assert 0.08 < joined.mean() < 0.25
    x, y = points[joined].T
    assert y.min() > 50
    assert np.abs(x - 60).max() <= 14


def test_what_differs_from_the_ground_and_from_the_region_is_no_joint() -> None:
    assert not joint_points(drawn((60, 120, 60), (40, 40, 160)), HEAD, rim(HEAD)[0]).any()


def test_a_ground_like_the_region_is_no_joint() -> None:
    assert not joint_points(drawn((190, 118, 92), (190, 118, 92)), HEAD, rim(HEAD)[0]).any()


def test_a_region_of_a_few_pixels_or_of_the_whole_picture_has_none() -> None:
    image = drawn((60, 120, 60), (196, 118, 92))
    dot = (np.abs(xs - 60) <= 1) & (np.abs(ys - 40) <= 1)
    assert not joint_points(image, dot, rim(dot)[0]).any()
    everything = np.ones(SIZE, np.bool_)
    assert not joint_points(image, everything, np.zeros((3, 2))).any()


def test_a_shadow_beside_a_dark_region_is_no_joint() -> None:
    image = drawn((150, 100, 60), (75, 50, 30))  # the ground at half its light
    image[HEAD] = (60, 42, 30)
    assert not joint_points(image, HEAD, rim(HEAD)[0]).any()
