"""Warping and cell maps against moves that are exact."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dragflow.core.motion import Matrix, about, apply, compose, invert, rotation
from dragflow.ops.geometry import (
    CellMap,
    cell_frame,
    field_points,
    gather_cells,
    grid_points,
    identity_map,
    move_cells,
    remove_cells,
    sample_points,
    source_points,
    stretched_cells,
    to_grid,
    warp,
    warp_from,
)


def shift(dx: float, dy: float) -> Matrix:
    return ((1.0, 0.0, float(dx)), (0.0, 1.0, float(dy)))


def turn(degrees: float, size: tuple[int, int]) -> Matrix:
    """About the middle of the grid."""
    return about(((size[1] - 1) / 2, (size[0] - 1) / 2), rotation(math.radians(degrees)))


def numbered(h: int, w: int) -> Tensor:
    return torch.arange(float(h * w)).reshape(1, 1, h, w)


def region(h: int, w: int, *cells: tuple[int, int]) -> Tensor:
    mask = torch.zeros(h, w, dtype=torch.bool)
    for y, x in cells:
        mask[y, x] = True
    return mask


def on_cells(mask: Tensor) -> set[tuple[int, int]]:
    return {(int(y), int(x)) for y, x in mask.nonzero()}


@given(st.integers(-6, 6), st.integers(-4, 4))
def test_warping_by_whole_cells_moves_features_exactly(dx: int, dy: int) -> None:
    x = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    moved = warp(x, shift(dx, dy), padding="zeros")
    expected = torch.zeros_like(x)
    h, w = 5 - abs(dy), 7 - abs(dx)
    if h > 0 and w > 0:
        ty, sy, tx, sx = max(dy, 0), max(-dy, 0), max(dx, 0), max(-dx, 0)
        expected[..., ty : ty + h, tx : tx + w] = x[..., sy : sy + h, sx : sx + w]
    assert torch.equal(moved, expected)


def test_border_padding_repeats_the_rim() -> None:
    moved = warp(numbered(3, 4), shift(2, 0))
    assert torch.allclose(moved[0, 0], torch.tensor([[0.0, 0, 0, 1], [4, 4, 4, 5], [8, 8, 8, 9]]), atol=1e-5)


def test_warping_by_half_a_cell_takes_the_mean_of_two() -> None:
    moved = warp(numbered(1, 4), shift(0.5, 0))
    assert torch.allclose(moved[0, 0, 0], torch.tensor([0.0, 0.5, 1.5, 2.5]), atol=1e-5)


@pytest.mark.parametrize("degrees", [90, 180, 270, -90])
@pytest.mark.parametrize("side", [4, 5])
def test_a_quarter_turn_of_a_square_map_is_rot90(degrees: int, side: int) -> None:
    """Positive degrees are clockwise as seen; torch.rot90 turns counterclockwise."""
    x = torch.randn(1, 2, side, side, generator=torch.Generator().manual_seed(1))
    moved = warp(x, turn(degrees, (side, side)))
    assert torch.equal(moved, torch.rot90(x, -degrees // 90, dims=(-2, -1)))


@pytest.mark.parametrize("shifted", [shift(3.0000000000000004, 7), shift(-20.000000000000004, 11), turn(90, (61, 61))])
def test_half_covered_cells_stay_half_covered_after_a_move_by_whole_cells(shifted: Matrix) -> None:
    """A path's sums of floats end a hair off the whole cell; that must not decide a tie at the threshold of a mask."""
    moved = warp(torch.full((1, 1, 61, 61), 0.5), shifted, padding="zeros")
    assert set(moved.unique().tolist()) <= {0.0, 0.5}


def test_a_cell_centre_lies_half_a_cell_in() -> None:
    frame = cell_frame((32, 48), (2, 4))
    assert apply(frame, (0, 0)) == (5.5, 7.5)
    assert apply(frame, (3, 1)) == (41.5, 23.5)


def test_the_outer_edges_of_grid_and_picture_meet() -> None:
    frame = cell_frame((75, 100), (9, 13))
    assert apply(frame, (-0.5, -0.5)) == pytest.approx((-0.5, -0.5))
    assert apply(frame, (12.5, 8.5)) == pytest.approx((99.5, 74.5))


@given(
    st.tuples(st.integers(16, 300), st.integers(16, 300)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(-100, 400), st.floats(-100, 400)),
    st.floats(-180, 180),
)
def test_a_map_said_on_a_grid_does_what_it_does_in_pixels(
    image: tuple[int, int], grid: tuple[int, int], point: tuple[float, float], degrees: float
) -> None:
    matrix = compose(shift(7.5, -3), turn(degrees, image))
    frame = cell_frame(image, grid)
    cell = apply(invert(frame), point)
    assert apply(frame, apply(to_grid(matrix, image, grid), cell)) == pytest.approx(apply(matrix, point), abs=1e-6)


@given(st.floats(-180, 180), st.integers(1, 30))
def test_a_map_goes_to_a_grid_and_back(degrees: float, cells: int) -> None:
    matrix, frame = turn(degrees, (100, 75)), cell_frame((100, 75), (cells, cells))
    back = compose(frame, compose(to_grid(matrix, (100, 75), (cells, cells)), invert(frame)))
    assert torch.allclose(torch.tensor(back), torch.tensor(matrix), atol=1e-6)


def moved_by(mask: Tensor, matrix: Matrix) -> CellMap:
    return move_cells(identity_map((mask.shape[0], mask.shape[1]), mask), mask, matrix)


def from_columns(columns: list[float], hole: Tensor) -> CellMap:
    points = torch.tensor([[[column, 0.0] for column in columns]], dtype=torch.float64)
    return stretched_cells(points, hole)


def test_where_nothing_moves_every_cell_is_its_own_source() -> None:
    cells = identity_map((3, 4), torch.zeros(1))
    assert torch.equal(gather_cells(numbered(3, 4), cells), numbered(3, 4))
    assert not cells.moved.any()
    assert not cells.vacated.any()


def test_a_shift_takes_each_cell_from_where_it_was_and_leaves_a_hole() -> None:
    cells = moved_by(region(4, 5, (1, 1), (1, 2), (2, 1), (2, 2)), shift(1, 0))
    assert on_cells(cells.moved) == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert on_cells(cells.vacated) == {(1, 1), (2, 1)}
    expected = numbered(4, 5)
    expected[0, 0, 1:3, 2:4] = numbered(4, 5)[0, 0, 1:3, 1:3]
    assert torch.equal(gather_cells(numbered(4, 5), cells), expected)


def test_what_leaves_the_grid_is_lost_and_its_place_is_vacated() -> None:
    cells = moved_by(region(2, 3, (0, 1), (0, 2)), shift(1, 0))
    assert on_cells(cells.moved) == {(0, 2)}
    assert on_cells(cells.vacated) == {(0, 1)}


def test_a_quarter_turn_of_cells_is_rot90() -> None:
    mask = torch.ones(4, 4, dtype=torch.bool)
    cells = moved_by(mask, turn(90, (4, 4)))
    assert torch.equal(gather_cells(numbered(4, 4), cells), torch.rot90(numbered(4, 4), -1, dims=(-2, -1)))
    assert not cells.vacated.any()


def test_a_warp_takes_each_cell_from_the_nearest_and_leaves_no_hole() -> None:
    cells = from_columns([0, 0.4, 1.5, 2.2, 4, 7], region(1, 6))
    assert gather_cells(numbered(1, 6), cells).flatten().tolist() == [0, 0, 2, 2, 4, 5]
    assert on_cells(cells.moved) == {(0, 1), (0, 3)}
    assert not cells.vacated.any()


def test_what_a_warp_brings_from_a_hole_is_vacated() -> None:
    cells = from_columns([0, 1, 1, 1, 4, 5], region(1, 6, (0, 1), (0, 3)))
    assert on_cells(cells.vacated) == {(0, 1), (0, 2), (0, 3)}
    assert not cells.moved.any()


def test_a_field_of_pixels_is_said_in_cells() -> None:
    field = torch.zeros(8, 12, 2)
    field[..., 0], field[..., 1] = 4.0, -2.0  # each pixel comes from 4 to the right and 2 above
    points = field_points(field, (4, 3))  # cells of 4 x 2 pixels
    assert torch.equal(points[2, 1], torch.tensor([2.0, 1.0], dtype=torch.float64))


def test_a_warp_by_points_is_the_warp_by_their_matrix() -> None:
    matrix, x = compose(shift(0.7, -1.2), turn(25, (6, 7))), torch.rand(1, 3, 6, 7)
    assert torch.equal(warp_from(x, source_points(matrix, (6, 7))), warp(x, matrix))


def test_a_later_operation_lies_on_top_and_fills_an_earlier_hole() -> None:
    first = moved_by(region(1, 5, (0, 0)), shift(1, 0))
    both = move_cells(first, region(1, 5, (0, 4)), shift(-4, 0))
    assert gather_cells(numbered(1, 5), both).flatten().tolist() == [4, 0, 2, 3, 4]
    assert on_cells(both.vacated) == {(0, 4)}


def test_a_copy_leaves_no_hole_and_a_removal_only_one() -> None:
    ground, here = identity_map((3, 6), region(1, 6, (0, 0))), region(3, 6, (1, 1))
    copied = move_cells(ground, here, shift(3, 0), leaves=False)
    assert not copied.vacated.any()
    assert copied.moved[1, 4]
    assert copied.index[1, 4] == 7
    removed = remove_cells(ground, here)
    assert torch.equal(removed.vacated, here)
    assert removed.removed is not None
    assert torch.equal(removed.removed, here)
    assert not removed.moved.any()
    covered = move_cells(removed, region(3, 6, (1, 3)), shift(-2, 0))
    assert covered.moved[1, 1]
    assert covered.removed is not None
    assert not covered.removed.any()


@given(st.integers(-5, 5), st.integers(-5, 5), st.floats(-180, 180), st.sets(st.integers(0, 29), min_size=1))
def test_moved_and_vacated_never_overlap_and_moved_cells_come_from_the_region(
    dx: int, dy: int, degrees: float, flat: set[int]
) -> None:
    mask = torch.zeros(30, dtype=torch.bool)
    mask[list(flat)] = True
    mask = mask.reshape(5, 6)
    cells = moved_by(mask, compose(shift(dx, dy), turn(degrees, (5, 6))))
    assert not (cells.moved & cells.vacated).any()
    assert mask.flatten()[cells.index[cells.moved]].all()
    assert torch.equal(cells.index[~cells.moved], torch.arange(30).reshape(5, 6)[~cells.moved])
    assert torch.equal(cells.moved | cells.vacated, mask | cells.moved)


def test_points_of_a_picture_are_said_in_cells() -> None:
    points = torch.tensor([[-0.5, -0.5], [7.5, 7.5], [159.5, 127.5]])  # two corners of the picture, one of a cell
    assert torch.allclose(
        grid_points(points, (128, 160), (8, 10)), torch.tensor([[-0.5, -0.5], [0.0, 0.0], [9.5, 7.5]])
    )


@given(st.floats(-3, 12), st.floats(-3, 9))
def test_a_map_is_read_between_its_cells(x: float, y: float) -> None:
    """On a ramp the value is the place itself; beyond the rim it is the rim's."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    found = sample_points(torch.stack([columns, rows])[None], torch.tensor([[[x, y]]]))
    assert found.shape == (1, 1, 2)
    assert found[0, 0].tolist() == pytest.approx([min(max(x, 0), 9), min(max(y, 0), 7)], abs=1e-4)
