"""The thing under points, on pictures that were drawn so that the answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError
from dragflow.select import select_at

SIZE = (160, 200)
GROUND, RED, BLUE, WHITE = (90, 110, 90), (200, 40, 40), (40, 60, 190), (230, 230, 230)


def scene(*drawn: tuple[Mask, tuple[int, int, int]]) -> Pixels:
    """Things on a ground, all of them with grain."""
    image = np.full((*SIZE, 3), GROUND, np.float32)
    for mask, colour in drawn:
        image[mask] = colour
    image += np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def box(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def disc(x: float, y: float, r: float) -> Mask:
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot(xs - x, ys - y) <= r


def likeness(found: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("within", [None, box(50, 30, 160, 140)])
def test_a_thing_of_one_colour_is_found_to_its_edge(within: Mask | None) -> None:
    thing = disc(100, 80, 30)
    assert likeness(select_at(scene((thing, RED)), [(95, 85)], within), thing) > 0.97


def test_a_thing_of_several_colours_is_found_whole_where_an_area_is_drawn_around_it() -> None:
    thing, stripe, dot = box(70, 40, 130, 110), box(70, 60, 130, 75), disc(100, 95, 7)
    image = scene((thing, RED), (stripe, BLUE), (dot, WHITE))
    for point in ((75.0, 50.0), (100.0, 95.0)):
        assert likeness(select_at(image, [point], box(55, 25, 150, 130)), thing) > 0.9


def test_of_two_equal_things_the_one_under_the_point_is_found() -> None:
    left, right = disc(60, 80, 25), disc(140, 80, 25)
    assert likeness(select_at(scene((left, RED), (right, RED)), [(140, 80)]), right) > 0.95


def test_two_points_on_two_things_find_both() -> None:
    left, right = disc(60, 80, 25), disc(140, 80, 25)
    image = scene((left, RED), (right, BLUE))
    assert likeness(select_at(image, [(60, 80), (140, 80)], box(20, 40, 180, 120)), left | right) > 0.95


def test_an_area_around_a_head_finds_the_head_though_the_body_outside_looks_the_same() -> None:
    head, body = disc(60, 60, 25), box(70, 65, 180, 120)
    area = box(20, 20, 100, 100)
    image = scene((head | body, RED))
    assert likeness(select_at(image, [(50, 55)], area), head) > 0.9
    both = select_at(image, [(50, 55), (95, 90)], area)
    assert likeness(both, (head | body) & area) > 0.9


def test_a_hole_as_large_as_the_thing_stays_a_hole() -> None:
    ring = disc(100, 80, 40) & ~disc(100, 80, 28)
    found = select_at(scene((ring, RED)), [(66, 80)], box(50, 30, 150, 130))
    assert likeness(found, ring) > 0.9


def test_a_large_picture_gives_the_same_thing_as_the_small_one() -> None:
    thing = disc(100, 80, 30)
    image = scene((thing, RED))
    large = np.asarray(cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    found = select_at(large, [(4 * 95 + 1.5, 4 * 85 + 1.5)])
    assert found.shape == large.shape[:2]
    assert likeness(found[2::4, 2::4], thing) > 0.96


def test_equal_pictures_give_equal_things() -> None:
    image = scene((disc(100, 80, 30), RED), (disc(110, 70, 10), BLUE))
    np.testing.assert_array_equal(select_at(image, [(90, 85)]), select_at(image, [(90, 85)]))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_points_are_in_it_and_nothing_outside_of_the_area_is(data: st.DataObject) -> None:
    h, w = data.draw(st.sampled_from([(1, 1), (1, 40), (3, 3), (30, 40), (60, 24)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = (rng.integers(0, 256, (h, w, 3)) if data.draw(st.booleans()) else np.full((h, w, 3), 7)).astype(np.uint8)
    within = data.draw(st.sampled_from([None, np.ones((h, w), np.bool_), np.zeros((h, w), np.bool_)]))
    point = st.tuples(st.floats(-0.5, w - 0.5), st.floats(-0.5, h - 0.5))
    points: list[Point] = data.draw(st.lists(point, min_size=1, max_size=3))
    found = select_at(image, points, within)
    at = [(min(max(round(x), 0), w - 1), min(max(round(y), 0), h - 1)) for x, y in points]
    assert all(found[y, x] for x, y in at)
    if within is not None and not within.any():
        assert found.sum() == len(set(at))


@pytest.mark.parametrize(
    ("points", "why"),
    [([], "at least one point"), ([(200.0, 80.0)], r"point \(200, 80\) is outside of the picture \(200 x 160\)")],
)
def test_no_point_and_a_point_outside_are_refused(points: list[Point], why: str) -> None:
    with pytest.raises(UserError, match=why):
        select_at(scene(), points)
