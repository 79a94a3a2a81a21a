"""The loop that drags a latent, on toy features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor

from dragflow.core.config import OptimiseConfig
from dragflow.core.errors import Cancelled, NumericalError
from dragflow.core.events import Event, Stepped, silent
from dragflow.method.backbone import Features
from dragflow.method.optimise import optimise

START = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
BACKGROUND = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
AREA = torch.zeros(4, 4, dtype=torch.bool)
AREA[1:3, 1:3] = True


class Quadratic:
    """Half the squared distance from a goal; remembers the progress values it was asked for."""

    def __init__(self, goal: float = 0.0) -> None:
        self.goal = goal
        self.asked: list[float] = []

    def loss(self, features: Features, progress: float) -> Tensor:
        self.asked.append(progress)
        return (features[0] - self.goal).square().sum() / 2


def dragged(
    config: OptimiseConfig,
    supervision: Quadratic | None = None,
    *,
    start: Tensor = START,
    features: Callable[[Tensor], Features] = lambda z: (z,),
    observer: Callable[[Event], None] = silent,
) -> tuple[Tensor, tuple[float, ...]]:
    return optimise(
        start,
        BACKGROUND,
        AREA,
        features,
        supervision or Quadratic(),
        config,
        preview=lambda z: lambda: z.clone().to(torch.uint8).numpy(),
        observer=observer,
    )


def config(rule: Literal["gradient", "adam"] = "gradient", moving: int = 3, refining: int = 2) -> OptimiseConfig:
    return OptimiseConfig(moving=moving, refining=refining, rule=rule, moving_rate=0.1, refining_rate=0.5)


def test_a_gradient_step_is_rate_times_gradient() -> None:
    """The gradient of a half square is z itself: three steps of 0.1 and two of 0.5 leave 0.9^3 * 0.5^2."""
    z, losses = dragged(config())
    assert torch.allclose(z[..., AREA], START[..., AREA] * 0.9**3 * 0.5**2)
    inside, outside = START[..., AREA].square().sum() / 2, BACKGROUND[..., ~AREA].square().sum() / 2
    factors = [1, 0.9**2, 0.9**4, 0.9**6, 0.9**6 * 0.25]
    assert losses == pytest.approx([float(outside + inside * factor) for factor in factors], rel=1e-5)


def test_the_first_adam_step_moves_every_cell_by_the_rate() -> None:
    z, _ = dragged(config("adam", moving=1, refining=0))
    assert torch.allclose(z[..., AREA], START[..., AREA] - 0.1 * START[..., AREA].sign(), atol=1e-5)


@pytest.mark.parametrize("rule", ["gradient", "adam"])
def test_the_loss_falls_and_the_background_is_put_back(rule: Literal["gradient", "adam"]) -> None:
    z, losses = dragged(config(rule, moving=5, refining=5))
    assert losses[-1] < losses[0]
    assert torch.equal(z[..., ~AREA], BACKGROUND[..., ~AREA])
    assert not z.requires_grad


def test_the_refining_rate_holds_for_adam_too() -> None:
    z, _ = dragged(config("adam", moving=0, refining=1))
    assert torch.allclose(z[..., AREA], START[..., AREA] - 0.5 * START[..., AREA].sign(), atol=1e-5)


def test_the_motion_grows_and_then_stays() -> None:
    supervision = Quadratic()
    dragged(config(moving=4, refining=2), supervision)
    assert supervision.asked == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    alone = Quadratic()
    dragged(config(moving=0, refining=2), alone)
    assert alone.asked == [1.0, 1.0]


def test_without_iterations_the_start_is_given_back() -> None:
    assert dragged(config(moving=0, refining=0)) == (START, ())


def test_the_start_and_the_background_are_left_alone() -> None:
    start, background = START.clone(), BACKGROUND.clone()
    dragged(config())
    assert torch.equal(START, start)
    assert torch.equal(BACKGROUND, background)


def test_every_iteration_is_told_with_its_loss_and_a_preview_of_then() -> None:
    steps: list[Stepped] = []
    _, losses = dragged(config(), observer=lambda event: steps.append(event) if isinstance(event, Stepped) else None)
    assert [step.index for step in steps] == [1, 2, 3, 4, 5]
    assert tuple(step.loss for step in steps) == losses
    assert all(step.preview is not None for step in steps)


def test_cancelling_stops_after_the_iteration_that_was_told() -> None:
    supervision = Quadratic()

    def observer(event: Event) -> None:
        if isinstance(event, Stepped) and event.index == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        dragged(config(), supervision, observer=observer)
    assert len(supervision.asked) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_iteration(bad: float) -> None:
    calls: list[int] = []

    def features(z: Tensor) -> Features:
        calls.append(1)
        return (z * bad if len(calls) == 3 else z,)

    with pytest.raises(NumericalError, match=r"iteration 3 of 5"):
        dragged(config(), features=features)


def test_a_gradient_that_is_not_finite_names_its_iteration() -> None:
    """The square root has an infinite slope at zero, where its value is still finite."""
    with pytest.raises(NumericalError, match=r"gradient is not finite at iteration 1 of 5"):
        dragged(config(), start=torch.zeros_like(START), features=lambda z: (z.abs().sqrt() * AREA,))
