"""The time grid of a rectified flow and the solvers on it: FireFlow (method Sec. 4; arXiv 2412.07517), and Euler's.

t is flow time in [0, 1], 0 = image, 1 = noise; v = dz/dt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.core.config import Solver

Latent = Float[Tensor, "b c h w"]
Velocity = Callable[[Latent, float], Latent]
Step = Callable[[Latent, float, float], Latent]
"""The state at a time b, from that at a time a."""


def time_grid(steps: int, mu: float | None = None, last: float | None = None) -> tuple[float, ...]:
    """`steps + 1` times from 1 (noise) to 0 (image), evenly spaced or with FLUX.1's shift.

    The shift is t' = e^mu / (e^mu + 1/t - 1). Where `last` is given, the times before 0 are then stretched so that the
    last of them is this one: t'' = 1 - (1 - t') (1 - last) / (1 - t'_last). Computed in float32, as the schedules that
    models were trained and published with: the time embedding multiplies by 1000, so that the eighth digit matters to
    the velocities.
    """
    times = torch.linspace(1, 0, steps + 1)
    if mu is not None:
        times = math.exp(mu) / (math.exp(mu) + (1 / times - 1))
    if last is not None and steps > 1:
        times[:-1] = 1 - (1 - times[:-1]) / ((1 - times[-2]) / (1 - last))
    return tuple(float(t) for t in times)


def flux_mu(tokens: int, *, low: tuple[int, float] = (256, 0.5), high: tuple[int, float] = (4096, 1.15)) -> float:
    """The shift mu, linear in the number of image tokens through two (tokens, mu) points."""
    slope = (high[1] - low[1]) / (high[0] - low[0])
    return low[1] + slope * (tokens - low[0])


def fireflow_step(velocity: Velocity, z: Latent, u: Latent, a: float, b: float) -> tuple[Latent, Latent]:
    """One step a -> b with the carried velocity u; gives the new state and the velocity to carry (one model call).

    z_mid = z + (b - a)/2 u;  u' = v(z_mid, (a + b)/2);  z' = z + (b - a) u'.
    """
    middle = velocity(z + (b - a) / 2 * u, (a + b) / 2)
    return z + (b - a) * middle, middle


def stepper(velocity: Velocity, solver: Solver = "fireflow") -> Step:
    """The step of a solver; each begins where the one before has ended."""
    if solver == "euler":
        return lambda z, a, b: z + (b - a) * velocity(z, a)
    carried: list[Latent] = []

    def step(z: Latent, a: float, b: float) -> Latent:
        z, u = fireflow_step(velocity, z, carried.pop() if carried else velocity(z, a), a, b)
        carried.append(u)
        return z

    return step


def integrate(
    velocity: Velocity,
    z: Latent,
    times: Sequence[float],
    *,
    solver: Solver = "fireflow",
    after: Callable[[Latent, int], Latent] | None = None,
) -> Latent:
    """Solve along `times`, with a model call at each of `call_times`.

    Args:
        velocity: v(z, t).
        z: state at `times[0]`.
        times: grid to walk, in either direction.
        solver: how each interval is crossed.
        after: called with the state and the index into `times` just reached; the solver continues from what it returns.
    """
    step = stepper(velocity, solver)
    for k, (a, b) in enumerate(pairwise(times)):
        z = step(z, a, b)
        if after is not None:
            z = after(z, k + 1)
    return z


def call_times(times: Sequence[float], solver: Solver = "fireflow") -> tuple[float, ...]:
    """The times at which `integrate` calls the velocity: of k intervals k + 1 by FireFlow, k by Euler."""
    if solver == "euler":
        return tuple(times[:-1])
    return (*times[:1], *((a + b) / 2 for a, b in pairwise(times)))


def noise_part(z: Latent, image: Latent, t: float) -> Latent:
    """The noise eps in z_t = (1 - t) z_0 + t eps, given z_0; t > 0."""
    return (z - (1 - t) * image) / t


def image_estimate(z: Latent, v: Latent, t: float) -> Latent:
    """The image that a straight path from z_t would reach: z - t v."""
    return z - t * v
