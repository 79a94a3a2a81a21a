"""Mean distances on planted features whose match is known, and on random ones that are really resized."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dragflow.bench.metrics.mean_distance import disc_distance, mean_distance
from dragflow.core.errors import NumericalError

H, W = 20, 30


def planted(*places: tuple[int, int], size: tuple[int, int] = (H, W)) -> Tensor:
    """Features of one cell a pixel: mark i at place i (x, y), all else the ground, which is orthogonal."""
    features = torch.zeros(len(places) + 1, *size)
    features[-1] = 1
    for i, (x, y) in enumerate(places):
        features[:, y, x] = 0
        features[i, y, x] = 1
    return features


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def resized(features: Tensor, size: tuple[int, int]) -> np.ndarray:
    return F.interpolate(features[None], size, mode="bilinear", align_corners=False)[0].double().numpy()


def brute_force(
    source: Tensor, edit: Tensor, size: tuple[int, int], begin: tuple[int, int], where: np.ndarray
) -> tuple[int, int]:
    """The definition: resize both, normalise, take the most similar pixel, of equals the first."""
    a, b = resized(source, size), resized(edit, size)
    vector = a[:, begin[1], begin[0]]
    cosine = np.einsum("c,chw->hw", vector, b) / (np.linalg.norm(b, axis=0) * np.linalg.norm(vector))
    cosine = np.where(where, cosine, -2)
    y, x = np.unravel_index(np.argmax(cosine > cosine.max() - 1e-6), size)
    return int(x), int(y)


def test_a_planted_match_is_found_and_its_distance_is_the_mean_over_points() -> None:
    source, edit = planted((4, 5), (20, 10)), planted((7, 9), (20, 14))
    assert mean_distance(source, edit, (H, W), [(4, 5), (20, 10)], [(7, 9), (20, 10)]) == pytest.approx((0 + 4) / 2)
    assert mean_distance(source, edit, (H, W), [(4, 5)], [(4, 5)]) == pytest.approx(5)


def test_a_mask_keeps_a_better_match_out() -> None:
    source = planted((4, 5))
    edit = planted((25, 15))
    edit[:, 8, 6] = torch.tensor([0.8, 0.6])  # a worse match, but inside
    args = source, edit, (H, W), [(4.0, 5.0)], [(6.0, 8.0)]
    assert mean_distance(*args) == pytest.approx(math.hypot(19, 7))
    assert mean_distance(*args, box(2, 2, 12, 12)) == pytest.approx(0)
    assert math.isnan(mean_distance(*args, np.zeros((H, W), np.bool_)))


@pytest.mark.parametrize("point", [(29.0, 19.0), (29.49, 19.4), (29.5, 19.5), (-0.5, -0.4), (0.2, 19.5)])
def test_points_at_the_border_are_those_of_the_border_pixel(point: tuple[float, float]) -> None:
    pixel = (min(max(round(point[0]), 0), W - 1), min(max(round(point[1]), 0), H - 1))
    source, edit = planted(pixel), planted((11, 7))
    assert mean_distance(source, edit, (H, W), [point], [(11, 7)]) == 0


def test_of_equal_matches_the_first_counts_row_by_row() -> None:
    source, edit = planted((4, 5)), planted((25, 3), (8, 12))
    edit = torch.stack([edit[0] + edit[1], edit[2]])  # the same mark at both places
    assert mean_distance(source, edit, (H, W), [(4, 5)], [(25, 3)]) == 0
    everywhere = torch.ones(3, 4, 5)
    assert mean_distance(everywhere, everywhere, (H, W), [(9, 9)], [(0, 0)]) == 0


@pytest.mark.parametrize("corner", [(0, 0), (4, 3)])
def test_half_a_cell_at_the_border_ties_exactly(corner: tuple[int, int]) -> None:
    """Pixels beyond the outermost cell centres all have that cell's features; the first of them is the match."""
    features = planted(corner, size=(4, 5))
    first = (0, 0) if corner == (0, 0) else (27, 17)  # the last cells' centres lie at 26.5 and 17
    assert mean_distance(features, features, (H, W), [(29, 19) if corner != (0, 0) else (0, 0)], [first]) == 0


@pytest.mark.parametrize("grid", [(5, 7), (H, W), (1, 1), (26, 41)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_it_is_the_cosine_of_resized_features(grid: tuple[int, int], scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    source, edit = torch.randn(2, 6, *grid, generator=generator) * scale
    area = box(3, 2, 27, 17)
    for begin in [(0, 0), (13, 9), (29, 19)]:
        found = brute_force(source, edit, (H, W), begin, np.ones((H, W), np.bool_))
        inside = brute_force(source, edit, (H, W), begin, area)
        if grid == (1, 1):
            found, inside = (0, 0), (3, 2)  # all are equal
        assert mean_distance(source, edit, (H, W), [begin], [found]) == 0
        assert mean_distance(source, edit, (H, W), [begin], [inside], area) == 0


def test_the_length_of_features_does_not_count() -> None:
    source, edit = planted((4, 5)), planted((7, 9))
    edit[:, 2, 2] = torch.tensor([5.0, 50.0])  # a larger dot product than the match has, and another direction
    assert mean_distance(source, edit, (H, W), [(4, 5)], [(7, 9)]) == 0


def test_discs_are_measured_in_percent_of_a_square_frame() -> None:
    """Features of the frame's own size, so that marks are single pixels; a picture of half the size."""
    frame, size = (768, 768), (384, 192)
    begin, target = (50.0, 100.0), (60.0, 100.0)  # in the frame: (201.5, 200.5) and (241.5, 200.5), 40 apart
    source = planted((202, 200), size=frame)
    for found in [(242, 200), (241, 228), (190, 200)]:
        edit = planted(found, size=frame)
        distance = math.hypot(found[0] - 241.5, found[1] - 200.5) / 768 * 100
        assert disc_distance(source, edit, size, [begin], [target]) == pytest.approx(distance, rel=1e-5)


def test_a_match_outside_of_the_discs_is_not_seen() -> None:
    frame = (768, 768)
    source = planted((200, 200), size=frame)
    radius = 40 / math.sqrt(2)
    edit = planted((240, 200 + math.ceil(radius)), (230, 190), size=frame)
    edit = torch.stack([edit[0] + 0.5 * edit[1], edit[2] + edit[1]])  # outside the true mark, inside a worse one
    expected = math.hypot(10, 10) / 768 * 100
    assert disc_distance(source, edit, frame, [(200, 200)], [(240, 200)]) == pytest.approx(expected, rel=1e-5)


def test_discs_have_a_radius_of_five_at_least() -> None:
    frame = (768, 768)
    source = planted((200, 200), size=frame)
    near, far = planted((201, 205), size=frame), planted((201, 206), size=frame)
    assert disc_distance(source, near, frame, [(200, 200)], [(201, 200)]) == pytest.approx(500 / 768)
    assert disc_distance(source, far, frame, [(200, 200)], [(201, 200)]) != pytest.approx(600 / 768)


def test_without_points_there_is_no_distance() -> None:
    features = planted((4, 5))
    assert math.isnan(mean_distance(features, features, (H, W), [], []))
    assert math.isnan(disc_distance(features, features, (H, W), [], []))


def test_features_that_are_not_finite_are_an_error() -> None:
    bad = planted((4, 5))
    bad[0, 0, 0] = math.nan
    with pytest.raises(NumericalError, match="not finite"):
        mean_distance(planted((4, 5)), bad, (H, W), [(4, 5)], [(4, 5)])
