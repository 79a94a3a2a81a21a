"""Motions against closed forms: what a translation, a turn, a scaling and an affine map do at any progress."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dragflow.core.arrays import Point
from dragflow.core.motion import (
    IDENTITY,
    Affine,
    Matrix,
    Motion,
    Rotate,
    Scale,
    Translate,
    about,
    apply,
    compose,
    invert,
    motion_matrix,
    rotation,
    seen_from,
)
from dragflow.core.motion import rotation_degrees as degrees

coordinates = st.floats(-500, 500)
points = st.tuples(coordinates, coordinates)
entries = st.floats(-4, 4)
MOTIONS = (
    Translate((30, 50)),
    Rotate((70, 20), to=(40, 40)),
    Rotate((70, 20), degrees=25),
    Scale((10, 90), (1.5, 0.8)),
    Affine(((1.1, 0.3, -7), (-0.2, 0.9, 12))),
    Affine(((-1, 0, 200), (0, 1, 3))),
)


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    a, b, d, e = (draw(entries) for _ in range(4))
    assume(abs(a * e - b * d) > 0.05)
    return ((a, b, draw(coordinates)), (d, e, draw(coordinates)))


def close(ours: Matrix, theirs: Matrix, atol: float = 1e-9) -> bool:
    return np.allclose(ours, theirs, atol=atol, rtol=1e-9)


@given(points, points, points)
def test_a_translation_moves_every_point_by_the_offset_of_the_handle(to: Point, handle: Point, point: Point) -> None:
    moved = apply(motion_matrix(Translate(to), handle), point)
    assert moved == pytest.approx((point[0] + to[0] - handle[0], point[1] + to[1] - handle[1]), abs=1e-9)


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0])
def test_a_translation_goes_progress_of_its_offset(progress: float) -> None:
    assert motion_matrix(Translate((14, 6)), (10, 10), progress) == ((1, 0, 4 * progress), (0, 1, -4 * progress))


def test_ninety_degrees_turn_right_to_down_about_the_anchor() -> None:
    """y is down, so +x goes to +y: clockwise as seen."""
    matrix = motion_matrix(Rotate((10, 20), degrees=90), (0, 0))
    assert apply(matrix, (10, 20)) == pytest.approx((10, 20))
    assert apply(matrix, (13, 20)) == pytest.approx((10, 23))
    assert apply(matrix, (10, 23)) == pytest.approx((7, 20))


@given(points, st.floats(0.5, 100), st.floats(-179, 179), st.floats(0.1, 3))
def test_a_rotation_to_a_point_brings_the_handle_into_its_direction(
    anchor: Point, radius: float, turn: float, reach: float
) -> None:
    handle = (anchor[0] + radius, anchor[1])
    angle = math.radians(turn)
    target = (anchor[0] + reach * radius * math.cos(angle), anchor[1] + reach * radius * math.sin(angle))
    assert degrees(Rotate(anchor, to=target), handle) == pytest.approx(turn, abs=1e-6)
    end = apply(motion_matrix(Rotate(anchor, to=target), handle), handle)
    expected = (anchor[0] + radius * math.cos(angle), anchor[1] + radius * math.sin(angle))
    assert end == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [(170, -170, 20), (-170, 170, -20), (0, 180, 180), (180, 0, 180), (90, -90, 180), (0, -179, -179), (-1, 179, 180)],
)
def test_angles_wrap_to_the_short_way_and_half_a_turn_is_positive(begin: float, end: float, expected: float) -> None:
    def on_circle(angle: float) -> Point:
        return (10 * math.cos(math.radians(angle)), 10 * math.sin(math.radians(angle)))

    assert degrees(Rotate((0, 0), to=on_circle(end)), on_circle(begin)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("turn", [-720.0, -350.0, 181.0, 450.0])
def test_degrees_are_taken_as_given_without_wrapping(turn: float) -> None:
    quarter = motion_matrix(Rotate((3, 4), degrees=turn), (0, 0), 0.25)
    assert close(quarter, about((3, 4), rotation(math.radians(turn / 4))))


@given(st.floats(-180, 180), st.floats(0, 1))
def test_a_rotation_goes_progress_of_its_angle(turn: float, progress: float) -> None:
    ours = motion_matrix(Rotate((5, 6), degrees=turn), (0, 0), progress)
    assert close(ours, about((5, 6), rotation(math.radians(progress * turn))))


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("factor", [4.0, 0.25, (4.0, 0.25)])
def test_a_scaling_goes_to_the_power_of_progress(factor: float | tuple[float, float], progress: float) -> None:
    sx, sy = factor if isinstance(factor, tuple) else (factor, factor)
    ours = motion_matrix(Scale((8, 9), factor), (0, 0), progress)
    assert apply(ours, (9, 11)) == pytest.approx((8 + sx**progress, 9 + 2 * sy**progress))


@given(matrices(), points)
def test_an_affine_map_begins_with_the_identity_and_ends_with_its_matrix(matrix: Matrix, handle: Point) -> None:
    assert close(motion_matrix(Affine(matrix), handle, 0.0), IDENTITY, 1e-9)
    assert close(motion_matrix(Affine(matrix), handle, 1.0), matrix, 1e-8)


@given(st.floats(-170, 170), st.floats(0.25, 4), st.floats(0, 1), points)
def test_an_affine_map_turns_by_progress_and_stretches_linearly(
    turn: float, factor: float, progress: float, handle: Point
) -> None:
    (a, b), (d, e) = rotation(math.radians(turn))
    whole = about(handle, ((factor * a, factor * b), (factor * d, factor * e)))
    (p, q), (r, s) = rotation(math.radians(progress * turn))
    stretch = 1 + progress * (factor - 1)
    expected = about(handle, ((stretch * p, stretch * q), (stretch * r, stretch * s)))
    assert close(motion_matrix(Affine(whole), handle, progress), expected, 1e-7)


@given(matrices(), points, st.floats(0, 1))
def test_under_an_affine_map_the_handle_goes_straight(matrix: Matrix, handle: Point, progress: float) -> None:
    there = apply(motion_matrix(Affine(matrix), handle, progress), handle)
    end = apply(matrix, handle)
    expected = tuple(h + progress * (e - h) for h, e in zip(handle, end, strict=True))
    assert there == pytest.approx(expected, abs=1e-6)


@given(matrices(), points, st.floats(0.01, 1))
def test_an_affine_map_is_invertible_all_the_way(matrix: Matrix, handle: Point, progress: float) -> None:
    (a, b, _), (d, e, _) = motion_matrix(Affine(matrix), handle, progress)
    assert abs(a * e - b * d) > 1e-3


@given(matrices())
def test_the_inverse_undoes(matrix: Matrix) -> None:
    assert close(compose(matrix, invert(matrix)), IDENTITY, 1e-7)
    assert close(compose(invert(matrix), matrix), IDENTITY, 1e-7)


@given(matrices(), matrices(), points)
def test_composing_is_applying_one_after_the_other(second: Matrix, first: Matrix, point: Point) -> None:
    assert apply(compose(second, first), point) == pytest.approx(apply(second, apply(first, point)), abs=1e-6)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_a_motion_is_the_same_in_a_window(motion: Motion, progress: float) -> None:
    (x, y), (left, top), handle = (33.0, 61.0), (16.0, 32.0), (45.0, 57.0)
    there = motion_matrix(motion, handle, progress)
    here = motion_matrix(seen_from(motion, (left, top)), (handle[0] - left, handle[1] - top), progress)
    (a, b, c), (d, e, f) = there
    (p, q, r), (s, t, u) = here
    assert p * (x - left) + q * (y - top) + r + left == pytest.approx(a * x + b * y + c)
    assert s * (x - left) + t * (y - top) + u + top == pytest.approx(d * x + e * y + f)
