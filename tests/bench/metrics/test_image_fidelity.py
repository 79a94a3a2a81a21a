"""Image fidelity with a distance that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragflow.bench.metrics import image_fidelity
from dragflow.core.motion import Matrix

H, W = 12, 16
RIGHT: Matrix = ((1.0, 0.0, 5.0), (0.0, 1.0, 0.0))


def mean_square(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().mean())


def picture(**squares: tuple[int, int, float]) -> Tensor:
    """Grey, with squares of 3 x 3 at (left, top) of one value."""
    image = torch.full((1, 3, H, W), 0.2)
    for left, top, value in squares.values():
        image[..., top : top + 3, left : left + 3] = value
    return image


def box(left: int, top: int, width: int = 3, height: int = 3) -> Tensor:
    mask = torch.zeros(H, W, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_the_background_is_compared_outside_of_the_area_only() -> None:
    source = picture()
    edit = picture(inside=(2, 2, 0.9), outside=(10, 6, 0.7))
    assert image_fidelity.background(mean_square, source, edit, box(1, 1, 6, 6)) == pytest.approx(
        1 - 9 * 0.25 / (H * W), abs=1e-6
    )
    assert image_fidelity.background(mean_square, source, edit, torch.ones(H, W, dtype=torch.bool)) == 1


def test_what_is_masked_out_is_zero() -> None:
    seen: list[Tensor] = []

    def look(x: Tensor, y: Tensor) -> float:
        seen.extend((x, y))
        return 0.0

    image_fidelity.background(look, picture(), picture(a=(2, 2, 0.9)), box(2, 2))
    for shown in seen:
        assert float(shown[..., 2:5, 2:5].abs().max()) == 0
        assert float((shown[..., 0, :] - 0.2).abs().max()) == 0


def test_a_region_that_arrived_is_at_the_target_and_not_at_the_source() -> None:
    source, done = picture(a=(2, 4, 1.0)), picture(a=(7, 4, 1.0))
    regions = [(box(2, 4), RIGHT)]
    missing = 9 * 0.8**2 / (H * W)
    assert image_fidelity.at_target(mean_square, source, done, regions) == pytest.approx(1)
    assert image_fidelity.at_target(mean_square, source, source, regions) == pytest.approx(1 - missing, abs=1e-6)
    assert image_fidelity.at_source(mean_square, source, done, [box(2, 4)]) == pytest.approx(1 - missing, abs=1e-6)
    assert image_fidelity.at_source(mean_square, source, source, [box(2, 4)]) == pytest.approx(1)


def test_several_regions_are_the_mean() -> None:
    source, half = picture(a=(2, 1, 1.0), b=(2, 8, 1.0)), picture(a=(7, 1, 1.0), b=(2, 8, 1.0))
    regions = [(box(2, 1), RIGHT), (box(2, 8), RIGHT)]
    missing = 9 * 0.8**2 / (H * W) / 2
    assert image_fidelity.at_target(mean_square, source, half, regions) == pytest.approx(1 - missing, abs=1e-6)
    assert image_fidelity.at_source(mean_square, source, half, [m for m, _ in regions]) == pytest.approx(
        1 - missing, abs=1e-6
    )


def test_what_leaves_the_picture_is_not_compared() -> None:
    source, edit = picture(a=(2, 4, 1.0)), picture(a=(14, 4, 1.0))
    far: Matrix = ((1.0, 0.0, 12.0), (0.0, 1.0, 0.0))
    assert image_fidelity.at_target(mean_square, source, edit, [(box(2, 4), far)]) == pytest.approx(1)
