"""Masks on grids: shares, rules for cells, weights of regions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dragflow.ops.masks import any_cells, coverage, covered_cells, region_weights, rim


def rectangle(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def test_coverage_is_the_share_of_the_pixels_of_a_cell() -> None:
    share = coverage(rectangle((4, 8), 0, 0, 2, 6), (2, 2))
    assert torch.allclose(share, torch.tensor([[1.0, 0.5], [0.0, 0.0]]))


@given(st.integers(16, 60), st.integers(16, 60), st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_cell_has_any_pixel_where_it_has_a_share(h: int, w: int, gh: int, gw: int, data: st.DataObject) -> None:
    """Also for sizes that are not multiples of the grid: not a single pixel of the mask is lost."""
    y, x = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    mask = rectangle((h, w), y, x, y + 1, x + 1)
    found = any_cells(mask, (gh, gw))
    assert torch.equal(found, coverage(mask, (gh, gw)) > 0)
    assert bool(found[y * gh // h, x * gw // w])


def test_cells_of_the_border_belong_to_any_but_not_to_covered() -> None:
    mask = rectangle((32, 32), 8, 8, 17, 24)
    assert any_cells(mask, (4, 4)).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert covered_cells(coverage(mask, (4, 4))).nonzero().tolist() == [[1, 1], [1, 2]]


def test_a_half_covered_cell_does_not_belong() -> None:
    assert covered_cells(torch.tensor([[1.0, 0.5, 0.51]])).tolist() == [[True, False, True]]


@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_a_region_thinner_than_a_cell_keeps_the_cells_it_covers_best(thickness: int) -> None:
    mask = rectangle((64, 64), 20, 16, 20 + thickness, 48)
    assert covered_cells(coverage(mask, (4, 4))).nonzero().tolist() == [[1, 1], [1, 2]]


def test_nothing_covers_nothing() -> None:
    assert not covered_cells(torch.zeros(3, 3)).any()


def test_one_region_has_weight_one() -> None:
    assert region_weights([rectangle((10, 10), 0, 0, 1, 1)]) == [1.0]


def test_weights_follow_the_papers_formula() -> None:
    """S = 0.1 and 0.4: w = 1 + 0.5/0.2 = 3.5 and 1 + 0.5/0.5 = 2."""
    found = region_weights([rectangle((10, 10), 0, 0, 1, 10), rectangle((10, 10), 2, 0, 6, 10)])
    assert found == pytest.approx([3.5 / 5.5, 2 / 5.5])


def test_the_weight_of_a_tiny_region_is_clamped_to_five() -> None:
    tiny, large = rectangle((100, 100), 0, 0, 1, 1), rectangle((100, 100), 10, 0, 50, 100)
    assert region_weights([tiny, large]) == pytest.approx([5 / 7, 2 / 7])


def test_the_rim_lies_on_both_sides_of_the_border() -> None:
    found = rim(rectangle((5, 5), 0, 0, 5, 2))
    assert found.tolist() == [[False, True, True, False, False]] * 5
