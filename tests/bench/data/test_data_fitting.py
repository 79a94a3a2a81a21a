"""Motions from point pairs against motions that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragflow.bench.data.fitting import Fit, as_motion, explain, nearest
from dragflow.core.motion import Affine, Matrix, Rotate, Translate, about, apply, rotation

SIZE = (200, 300)
HANDLES = np.array([[40.0, 60.0], [90.0, 70.0], [60.0, 120.0], [110.0, 130.0]])


def carried(matrix: Matrix, points: np.ndarray = HANDLES) -> np.ndarray:
    return np.array([apply(matrix, (float(x), float(y))) for x, y in points])


def turned(degrees: float, factor: float = 1.0, anchor: tuple[float, float] = (100, 80)) -> Matrix:
    (a, b), (d, e) = rotation(math.radians(degrees))
    return about(anchor, ((factor * a, factor * b), (factor * d, factor * e)))


def found(matrix: Matrix, points: np.ndarray = HANDLES) -> Fit:
    fit = explain(points, carried(matrix, points))
    assert fit is not None
    np.testing.assert_allclose(fit.matrix, matrix, atol=1e-9)
    return fit


def test_one_pair_is_a_translation() -> None:
    fit = found(((1, 0, 30), (0, 1, -12)), HANDLES[:1])
    assert fit.name == "translation"
    assert as_motion(fit, (40, 60), SIZE) == Translate((70, 48))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_each_motion_is_known_for_what_it_is(count: int) -> None:
    points = HANDLES[:count]
    assert found(((1, 0, 30), (0, 1, -12)), points).name == "translation"
    assert found(turned(40), points).name == "rigid motion"
    assert found(turned(40, 1.6), points).name == "similarity"
    if count > 2:
        assert found(((1.6, 0, -20), (0.1, 0.9, 5)), points).name == "affine map"


@given(st.floats(10, 180), st.sampled_from([-1, 1]), st.floats(0, 299), st.floats(0, 199))
def test_a_rotation_has_its_anchor_and_angle(degrees: float, way: int, x: float, y: float) -> None:
    motion = as_motion(found(turned(way * degrees, anchor=(x, y))), (75, 95), SIZE)
    assert isinstance(motion, Rotate)
    assert motion.about == pytest.approx((x, y), abs=1e-6)
    assert (motion.degrees or 0) % 360 == pytest.approx(way * degrees % 360, abs=1e-6)


def test_a_rotation_about_a_point_outside_is_an_affine_map() -> None:
    matrix = turned(15, anchor=(-80, 100))
    motion = as_motion(found(matrix), (75, 95), SIZE)
    assert isinstance(motion, Affine)
    np.testing.assert_allclose(motion.matrix, matrix, atol=1e-9)


def test_a_similarity_is_an_affine_map_even_about_a_point_inside() -> None:
    assert isinstance(as_motion(found(turned(0, 1.5)), (75, 95), SIZE), Affine)


@pytest.mark.parametrize(
    "targets",
    [
        [[60, 64], [70, 66], [80, 100], [90, 90]],  # all to one place
        [[110, 60], [60, 70], [90, 120], [40, 130]],  # mirrored
        [[90, 60], [40, 70], [110, 120], [60, 130]],  # changing places crosswise
    ],
)
def test_contradicting_pairs_have_no_motion(targets: list[list[float]]) -> None:
    assert explain(HANDLES, np.array(targets, float)) is None


def test_two_pairs_that_close_on_each_other_have_no_motion() -> None:
    begins = np.array([[188.0, 255.0], [188.0, 321.0]])
    assert explain(begins, np.array([[186.0, 284.0], [185.0, 288.0]])) is None
    assert explain(begins, np.array([[188.0, 268.0], [188.0, 308.0]])) is None  # to 40 of 66: no scaling of the width


@pytest.mark.parametrize(("factor", "name"), [(0.49, None), (0.5, "similarity"), (2.0, "similarity"), (2.1, None)])
def test_a_scaling_beyond_two_is_not_meant(factor: float, name: str | None) -> None:
    fit = explain(HANDLES, carried(turned(20, factor)))
    assert (fit.name if fit else None) == name
    assert explain(HANDLES, carried(turned(20, factor)), (0.1, 10)) is not None


@pytest.mark.parametrize(
    ("length", "off", "name"),
    [(30, 1.9, "translation"), (30, 2.1, "rigid motion"), (100, 4.9, "translation"), (100, 5.1, "rigid motion")],
)
def test_residuals_up_to_two_pixels_or_a_twentieth_are_explained(length: float, off: float, name: str) -> None:
    begins = np.array([[50.0, 50.0], [150.0, 50.0]])
    targets = begins + np.array([[0, length - off], [0, length + off]])
    fit = explain(begins, targets)
    assert fit is not None
    assert fit.name == name


def test_small_contradictions_are_not_standing_still() -> None:
    begins = np.array([[50.0, 50.0], [150.0, 50.0]])
    fit = explain(begins, begins + np.array([[0, -1.5], [0, 1.5]]))
    assert fit is not None
    assert fit.name == "rigid motion"


def test_the_nearest_map_is_affine_unless_it_mirrors() -> None:
    noisy = carried(turned(30, 1.5)) + np.random.default_rng(0).normal(0, 8, HANDLES.shape)
    assert nearest(HANDLES, noisy, (0.1, 10)).name == "affine map"
    mirrored = np.array([[110.0, 60.0], [60.0, 70.0], [90.0, 120.0], [40.0, 130.0]])
    assert nearest(HANDLES, mirrored, (0.1, 10)).name == "translation"
    assert nearest(HANDLES[:1], mirrored[:1], (0.1, 10)).name == "translation"
