"""Colours nearby, how many there are, and what they separate."""

from __future__ import annotations

import numpy as np

from dragflow.pixels.colours import Palette, as_lab, means, separated

ys, xs = np.mgrid[:40, :60]
LEFT = xs < 30


def test_means_are_those_of_the_side_alone() -> None:
    values = np.where(LEFT[..., None], (10.0, 20.0), (200.0, 100.0)).astype(np.float32)
    np.testing.assert_allclose(means(values, LEFT, 3.0)[:, :33], np.broadcast_to((10, 20), (40, 33, 2)), rtol=1e-3)
    np.testing.assert_allclose(means(values, ~LEFT, 3.0)[:, 27:], np.broadcast_to((200, 100), (40, 33, 2)), rtol=1e-3)


def test_means_fade_where_there_is_nothing_nearby() -> None:
    assert np.abs(means(np.full((40, 60, 1), 9.0, np.float32), xs < 2, 2.0)[:, 40:]).max() == 0


def test_a_palette_counts_close_colours_as_one() -> None:
    lab = np.zeros((2, 2, 3), np.uint8)
    lab[0, 1], lab[1] = 15, (255, 128, 128)
    palette = Palette.of(lab, 16)
    assert palette.numbers[0, 0] == palette.numbers[0, 1] != palette.numbers[1, 0]
    top, corner = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    assert palette.counts(top).sum() == 2
    assert palette.in_common(top, ~top) == 0
    assert palette.in_common(top, corner) == 0.5
    assert palette.in_common(top, np.zeros_like(top)) == 0  # nothing has no colours


def test_two_sides_are_told_apart_by_their_colours() -> None:
    rng = np.random.default_rng(0)
    image = np.where((np.hypot(xs - 30, ys - 20) < 9)[..., None], (200, 60, 50), (70, 120, 90))
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    thing = np.hypot(xs - 30, ys - 20) < 9
    undecided = np.hypot(xs - 30, ys - 20) < 15
    found = separated(as_lab(image), undecided & (xs > 20), undecided, 3, np.hypot(xs - 30, ys - 20) < 3)
    assert (found ^ thing).sum() <= 4


def test_where_there_is_no_other_side_all_is_inside() -> None:
    everything = np.ones((40, 60), np.bool_)
    image = np.zeros((40, 60, 3), np.uint8)
    assert separated(image, everything, everything, 1).all()
