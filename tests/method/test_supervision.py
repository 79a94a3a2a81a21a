"""The region loss against hand-made numbers, and targets against features that are where they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dragflow.core.motion import Motion, Rotate, Scale, Translate, motion_matrix
from dragflow.method.supervision.region import RegionMotion, RegionSupervision, RegionTarget, Stretched, region_loss
from dragflow.ops.geometry import to_grid, warp

GRID = (8, 10)
CELL = 16
IMAGE = (GRID[0] * CELL, GRID[1] * CELL)


def cells(top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(GRID, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def pixels(mask: Tensor) -> Tensor:
    return mask.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)


def features(seed: int = 0) -> tuple[Tensor, ...]:
    return tuple(torch.randn(1, 4, *GRID, generator=torch.Generator().manual_seed(seed + i)) for i in range(2))


def operation(mask: Tensor, motion: Motion, weight: float = 1.0) -> RegionMotion:
    ys, xs = pixels(mask).nonzero().float().mean(0).tolist()
    return RegionMotion(pixels(mask), motion, (xs, ys), weight)


def constant(value: float) -> tuple[Tensor, Tensor]:
    return torch.full((1, 4, *GRID), value), torch.full((1, 4, *GRID), 3 * value)


def test_over_the_map_the_loss_is_diluted_by_the_share_of_the_region() -> None:
    """Six of 80 cells differ by 1 in one tap and by 3 in the other: 2 * 6/80."""
    target = RegionTarget(cells(0, 0, 2, 3), constant(0.0), 1.0)
    assert float(region_loss(constant(1.0), [target], "map")) == pytest.approx(2 * 6 / 80)


def test_over_the_region_the_loss_does_not_depend_on_its_size() -> None:
    for mask in (cells(0, 0, 2, 3), cells(3, 3, 4, 4)):
        target = RegionTarget(mask, constant(0.0), 1.0)
        assert float(region_loss(constant(1.0), [target], "region")) == pytest.approx(2.0)


def test_regions_are_summed_by_their_weights() -> None:
    targets = [
        RegionTarget(cells(0, 0, 2, 2), constant(0.0), 0.25),
        RegionTarget(cells(4, 4, 8, 8), constant(-1.0), 0.75),
    ]
    assert float(region_loss(constant(1.0), targets, "region")) == pytest.approx(0.25 * 2 + 0.75 * 4)
    assert float(region_loss(constant(1.0), targets, "map")) == pytest.approx((0.25 * 2 * 4 + 0.75 * 4 * 16) / 80)


@pytest.mark.parametrize("mean", ["map", "region"])
def test_a_region_with_no_cell_costs_nothing_and_is_no_nan(mean: str) -> None:
    target = RegionTarget(torch.zeros(GRID, dtype=torch.bool), constant(0.0), 1.0)
    found = features()[0].requires_grad_(True)
    loss = region_loss((found,), [RegionTarget(target.mask, target.references[:1], 1.0)], mean)  # pyright: ignore[reportArgumentType]
    assert float(loss.detach()) == 0
    loss.backward()
    assert found.grad is not None
    assert not found.grad.any()


def test_outside_of_the_target_the_loss_has_no_gradient() -> None:
    reference = features()
    supervision = RegionSupervision(reference, [operation(cells(1, 1, 4, 4), Translate((103.5, 39.5)))], "region")
    found = features(9)[0].requires_grad_(True)
    supervision.loss((found, found), 1.0).backward()
    assert found.grad is not None
    touched = found.grad.abs().sum((0, 1)) > 0
    assert torch.equal(touched, cells(1, 5, 4, 8))


@pytest.mark.parametrize(
    "motion",
    [
        Translate((103.5, 55.5)),
        Rotate((79.5, 63.5), degrees=180),
        Rotate((63.5, 63.5), degrees=90),
        Scale((39.5, 39.5), 2.0),
    ],
    ids=lambda motion: type(motion).__name__,
)
@pytest.mark.parametrize("progress", [0.25, 0.5, 1.0])
def test_features_that_have_moved_cost_nothing_and_those_that_have_not_cost_something(
    motion: Motion, progress: float
) -> None:
    reference, region = features(), operation(cells(1, 1, 4, 4), motion)
    matrix = to_grid(motion_matrix(motion, region.handle, progress), IMAGE, GRID)
    supervision = RegionSupervision(reference, [region], "region")
    moved = tuple(warp(feature, matrix) for feature in reference)
    assert float(supervision.loss(moved, progress)) == pytest.approx(0, abs=1e-5)
    assert float(supervision.loss(reference, progress)) > 0.1


def test_a_shift_by_whole_cells_asks_for_the_very_features_of_the_source() -> None:
    reference = features()
    (target,) = RegionSupervision(reference, [operation(cells(1, 1, 4, 4), Translate((103.5, 39.5)))], "map").targets(
        1.0
    )
    assert torch.equal(target.mask, cells(1, 5, 4, 8))
    for ours, theirs in zip(target.references, reference, strict=True):
        assert torch.allclose(ours[..., 1:4, 5:8], theirs[..., 1:4, 1:4], atol=1e-5)


def test_at_progress_zero_the_target_is_the_source() -> None:
    (target,) = RegionSupervision(features(), [operation(cells(1, 1, 4, 4), Translate((103.5, 39.5)))], "map").targets(
        0.0
    )
    assert torch.equal(target.mask, cells(1, 1, 4, 4))
    assert torch.allclose(target.references[0], features()[0], atol=1e-5)


def test_what_leaves_the_picture_is_not_supervised() -> None:
    region = RegionMotion(pixels(cells(1, 1, 4, 4)), Translate((151.5, 39.5)), (39.5, 39.5), 1.0)
    (target,) = RegionSupervision(features(), [region], "map").targets(1.0)
    assert torch.equal(target.mask, cells(1, 8, 4, 10))


def test_a_region_thinner_than_a_cell_is_supervised() -> None:
    thin = torch.zeros(IMAGE, dtype=torch.bool)
    thin[20:23, 16:64] = True
    region = RegionMotion(thin, Translate((87.5, 21.0)), (39.5, 21.0), 1.0)
    (target,) = RegionSupervision(features(), [region], "region").targets(1.0)
    assert torch.equal(target.mask, cells(1, 4, 2, 7))


def test_the_reference_gets_no_gradient_and_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    reference = tuple(feature.requires_grad_(True) for feature in features())
    supervision = RegionSupervision(reference, [operation(cells(1, 1, 4, 4), Translate((103.5, 39.5)))], "map")
    found = tuple(feature.detach() for feature in features(5))
    first = float(supervision.loss(found, 0.5))
    supervision.loss(found, 1.0)
    again = supervision.loss(found, 0.5)
    assert float(again) == first
    assert not again.requires_grad


def stretching(operation: RegionMotion, shift: tuple[float, float], weight: Tensor) -> RegionMotion:
    """The operation, with everything around it coming from `shift` pixels away at its end."""

    def at(progress: float) -> Stretched:
        field = torch.tensor(shift).mul(progress).expand(*IMAGE, 2).contiguous()
        return Stretched(field, weight.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1))

    return replace(operation, stretch=at)


@pytest.mark.parametrize("progress", [0.5, 1.0])
def test_inside_a_part_a_warp_that_is_its_motion_gives_the_same_references(progress: float) -> None:
    moved = operation(cells(1, 1, 4, 4), Translate((39.5 + 2 * CELL, 39.5 + CELL)))
    around = stretching(moved, (-2.0 * CELL, -1.0 * CELL), cells(1, 1, 4, 4).float())
    (plain,) = RegionSupervision(features(), [moved], "region").targets(progress)
    (dense,) = RegionSupervision(features(), [around], "region").targets(progress)
    for ours, theirs in zip(dense.references, plain.references, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_around_a_part_each_cell_counts_as_far_as_it_follows() -> None:
    weight = torch.zeros(GRID)
    weight[2:6, 2:8] = 0.25
    moved = operation(cells(3, 3, 4, 4), Translate((3.5 * CELL - 0.5 + CELL, 3.5 * CELL - 0.5)))
    (target,) = RegionSupervision(features(), [stretching(moved, (-16.0, 0.0), weight)], "region").targets(1.0)
    expected = weight.clone()
    expected[3, 4] = 1  # where the part itself has gone
    assert torch.allclose(target.mask, expected)
