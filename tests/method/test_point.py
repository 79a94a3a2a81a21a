"""Motion supervision and point tracking on hand-made features: where handles are pulled, where they are found again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragflow.core.arrays import Point
from dragflow.core.motion import Translate
from dragflow.method.supervision.point import PointSupervision
from dragflow.method.supervision.region import RegionMotion

GRID = (8, 10)
CELL = 16
STEP = 0.25


def ramp() -> Tensor:
    """Features whose value is the cell's own x (and y in a second channel)."""
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    return torch.stack([x, y])[None]


def blob(x: float, y: float) -> Tensor:
    """A smooth bump, and its slope, at (x, y) in cells."""
    gy, gx = torch.meshgrid(torch.arange(8.0), torch.arange(10.0), indexing="ij")
    height = torch.exp(-((gx - x) ** 2 + (gy - y) ** 2) / 4)
    return torch.stack([height, height * (gx - x), height * (gy - y)])[None]


def pixel(x: float, y: float) -> Point:
    """The pixel at the centre of a cell."""
    return ((x + 0.5) * CELL - 0.5, (y + 0.5) * CELL - 0.5)


def drag(begin: tuple[float, float], end: tuple[float, float]) -> RegionMotion:
    mask = torch.zeros(GRID[0] * CELL, GRID[1] * CELL, dtype=torch.bool)
    return RegionMotion(mask, Translate(pixel(*end)), pixel(*begin), 1.0)


def test_handles_are_said_in_cells() -> None:
    supervision = PointSupervision((ramp(),), [drag((2, 3), (6, 3)), drag((4.5, 1.25), (1, 1))], 1, 3)
    assert supervision.handles.tolist() == [[2, 3], [4.5, 1.25]]


def test_the_loss_is_the_slope_along_the_way() -> None:
    """On a ramp in x a step to the right changes the first channel by a step and the second not at all."""
    supervision = PointSupervision((ramp(),), [drag((2, 3), (6, 3))], 1, 3)
    assert float(supervision.loss((ramp(),), 0.0)) == pytest.approx(STEP / 2)


def test_the_gradient_pulls_features_forward() -> None:
    """Only what lies ahead is moved: the patch as it is now is the fixed target."""
    features = blob(2, 3).requires_grad_(True)
    PointSupervision((features,), [drag((2, 3), (6, 3))], 0, 3).loss((features,), 0.0).backward()
    assert features.grad is not None
    touched = features.grad[0].abs().sum(0) > 0
    assert touched.nonzero().tolist() == [[3, 2], [3, 3]]  # the two cells around (2.25, 3)


def test_a_handle_is_found_where_its_features_went() -> None:
    supervision = PointSupervision((blob(2, 3),), [drag((2, 3), (6, 3))], 1, 3)
    supervision.loss((blob(2, 3),), 0.0)
    assert supervision.handles.tolist() == [[2, 3]]  # nothing has been optimised yet
    supervision.loss((blob(2.5, 3),), 0.1)
    assert supervision.handles.tolist() == [[2.5, 3]]
    supervision.loss((blob(2.75, 3.25),), 0.2)
    assert supervision.handles.tolist() == [[2.75, 3.25]]


def test_a_handle_is_not_looked_for_further_than_the_radius() -> None:
    supervision = PointSupervision((blob(2, 3),), [drag((2, 3), (8, 3))], 1, 2)
    supervision.loss((blob(2, 3),), 0.0)
    supervision.loss((blob(6, 3),), 0.1)
    assert float((supervision.handles[0] - torch.tensor([2.0, 3.0])).abs().max()) <= 2 * STEP


def test_a_handle_at_its_target_is_left_alone() -> None:
    there, away = drag((2, 3), (2 + STEP / 2, 3)), drag((2, 3), (6, 3))
    features = blob(2, 3).requires_grad_(True)
    loss = PointSupervision((features,), [there], 1, 3).loss((features,), 0.0)
    (gradient,) = torch.autograd.grad(loss, features)  # still a graph: the optimiser goes on
    assert float(loss.detach()) == 0
    assert not gradient.any()
    both = PointSupervision((features,), [there, away], 1, 3).loss((features,), 0.0)
    assert float(both.detach()) == pytest.approx(
        float(PointSupervision((features,), [away], 1, 3).loss((features,), 0.0).detach())
    )


def test_taps_are_averaged() -> None:
    one = PointSupervision((ramp(),), [drag((2, 3), (6, 3))], 1, 3).loss((ramp(),), 0.0)
    two = PointSupervision((ramp(), ramp()), [drag((2, 3), (6, 3))], 1, 3).loss((ramp(), 3 * ramp()), 0.0)
    assert float(two) == pytest.approx(2 * float(one))
