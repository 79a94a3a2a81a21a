"""The time grid and the solvers against closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dragflow.ops.flow import call_times, fireflow_step, flux_mu, image_estimate, integrate, noise_part, time_grid

START = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64).reshape(1, 1, 2, 2)


@given(st.integers(1, 60), st.none() | st.floats(0.0, 2.0))
def test_the_grid_falls_from_one_to_zero(steps: int, mu: float | None) -> None:
    times = time_grid(steps, mu)
    assert len(times) == steps + 1
    assert times[0] == pytest.approx(1.0, abs=1e-6)  # float32, as published
    assert times[-1] == 0.0
    assert all(a > b for a, b in pairwise(times))


def test_without_a_shift_the_grid_is_even() -> None:
    assert time_grid(4) == (1.0, 0.75, 0.5, 0.25, 0.0)


def test_the_shift_is_the_schedules() -> None:
    """At t = 1/2 the shifted time is e^mu / (e^mu + 1)."""
    assert time_grid(2, 0.8)[1] == pytest.approx(math.exp(0.8) / (math.exp(0.8) + 1), rel=1e-6)


@given(st.integers(2, 60), st.none() | st.floats(0.0, 2.0), st.floats(0.001, 0.1))
def test_the_grid_is_stretched_to_its_last_time(steps: int, mu: float | None, last: float) -> None:
    plain, times = time_grid(steps, mu), time_grid(steps, mu, last)
    assert times[0] == pytest.approx(1.0, abs=1e-6)
    assert times[-2:] == (pytest.approx(last, abs=1e-6), 0.0)
    stretch = (1 - last) / (1 - plain[-2])
    assert [1 - t for t in times[:-1]] == pytest.approx([(1 - t) * stretch for t in plain[:-1]], abs=1e-5)
    assert time_grid(1, mu, last) == time_grid(1, mu)


@pytest.mark.parametrize(("tokens", "mu"), [(256, 0.5), (4096, 1.15), (2176, 0.825)])
def test_mu_is_linear_in_the_tokens(tokens: int, mu: float) -> None:
    assert flux_mu(tokens) == pytest.approx(mu)


@given(st.floats(-3, 3), st.integers(1, 12))
def test_a_constant_field_is_integrated_exactly(rate: float, steps: int) -> None:
    end = integrate(lambda z, t: torch.full_like(z, rate), START, time_grid(steps))
    assert torch.allclose(end, START - rate, atol=1e-9)


def test_a_field_linear_in_time_is_integrated_exactly() -> None:
    """The midpoint rule is exact for v = t: the integral from 1 to 0 is -1/2."""
    end = integrate(lambda z, t: torch.full_like(z, t), START, time_grid(7, 0.9))
    assert torch.allclose(end, START - 0.5, atol=1e-9)


@given(st.floats(-2, 2), st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True))
def test_a_linear_field_follows_the_formula_of_the_solver(rate: float, times: list[float]) -> None:
    """v = c z: with h = b - a, z' = z + h c (z + h/2 u) and u' = c (z + h/2 u), from u = c z."""
    z, u = 1.0, rate
    for a, b in pairwise(times):
        middle = rate * (z + (b - a) / 2 * u)
        z, u = z + (b - a) * middle, middle
    end = integrate(lambda x, t: rate * x, START, times)
    assert torch.allclose(end, z * START, atol=1e-9)


def test_one_step_of_a_linear_field_in_numbers() -> None:
    """v = 2 z from z = 1 over h = 1/2: u = 2, z_mid = 1.5, u' = 3, z' = 2.5."""
    z, u = fireflow_step(lambda x, t: 2 * x, torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 2.0), 0.0, 0.5)
    assert (float(z), float(u)) == (2.5, 3.0)


def test_the_model_is_called_at_the_first_time_and_then_between_times() -> None:
    asked: list[float] = []

    def velocity(z: Tensor, t: float) -> Tensor:
        asked.append(t)
        return z

    integrate(velocity, START, (1.0, 0.5, 0.0))
    assert asked == [1.0, 0.75, 0.25]


@given(st.floats(-2, 2), st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True))
def test_a_linear_field_follows_eulers_formula(rate: float, times: list[float]) -> None:
    """v = c z: each interval h multiplies by 1 + c h."""
    end = integrate(lambda x, t: rate * x, START, times, solver="euler")
    assert torch.allclose(end, math.prod(1 + rate * (b - a) for a, b in pairwise(times)) * START, atol=1e-9)


def test_euler_calls_the_model_where_each_interval_begins() -> None:
    asked: list[float] = []

    def velocity(z: Tensor, t: float) -> Tensor:
        asked.append(t)
        return z

    grid = (1.0, 0.5, 0.25, 0.0)
    integrate(velocity, START, grid, solver="euler")
    assert asked == [1.0, 0.5, 0.25] == list(call_times(grid, "euler"))


def test_what_comes_after_a_step_is_gone_on_with() -> None:
    seen: list[tuple[float, int]] = []

    def after(z: Tensor, k: int) -> Tensor:
        seen.append((float(z[0, 0, 0, 0]), k))
        return torch.zeros_like(z)

    end = integrate(lambda z, t: torch.ones_like(z), torch.zeros(1, 1, 1, 1), (0.0, 0.5, 0.75), after=after)
    assert seen == [(0.5, 1), (0.25, 2)]
    assert float(end) == 0


def test_a_grid_of_one_time_asks_nothing() -> None:
    def velocity(z: Tensor, t: float) -> Tensor:
        raise AssertionError("no interval, no call")

    assert integrate(velocity, START, (0.5,)) is START


def test_inversion_then_sampling_returns_the_start_on_a_smooth_field() -> None:
    """The solver is of second order: with four times the steps the error falls by about sixteen."""

    def velocity(z: Tensor, t: float) -> Tensor:
        return torch.sin(z + 2 * t) - 0.3 * z

    def error(steps: int) -> float:
        down = time_grid(steps)
        return float((integrate(velocity, integrate(velocity, START, down[::-1]), down) - START).abs().max())

    assert error(25) < 2e-3
    assert error(100) < error(25) / 8


def test_noise_and_image_are_told_apart_on_a_straight_path() -> None:
    generator = torch.Generator().manual_seed(0)
    image, noise = torch.randn(2, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
    z = 0.3 * image + 0.7 * noise
    assert torch.allclose(noise_part(z, image, 0.7), noise)
    assert torch.allclose(image_estimate(z, noise - image, 0.7), image)


def test_the_times_of_a_walks_calls_are_known_before() -> None:
    times, asked = time_grid(5, 0.7), list[float]()

    def velocity(z: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return z

    for grid in (times, times[::-1], times[2:4]):
        asked.clear()
        integrate(velocity, torch.zeros(1, 1, 1, 1), grid)
        assert tuple(asked) == call_times(grid)
