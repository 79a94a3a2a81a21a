"""From the picture up to the edit time, with everything the edit needs later recorded on the way (method Sec. 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dragflow.core.config import Solver
from dragflow.core.events import Observer
from dragflow.method.active import Active, TokenRecord
from dragflow.method.backbone import Backbone, Conditioning, Latent, Schedule
from dragflow.method.kv import KVStore
from dragflow.method.phases import Show, phase
from dragflow.ops.flow import call_times, integrate


@dataclass(frozen=True, eq=False)
class Inversion:
    """An inverted picture."""

    schedule: Schedule
    states: tuple[Latent, ...]
    """One for each of `schedule.used`: from z at t_s down to the latent of the picture itself."""
    kv: KVStore | None
    tokens: TokenRecord | None = None
    """Keys and values of all tokens, for edits that compute some of them alone."""

    @property
    def z(self) -> Latent:
        """The latent at the edit time t_s."""
        return self.states[0]

    @property
    def image(self) -> Latent:
        """The latent of the picture."""
        return self.states[-1]

    def at(self, t: float) -> Latent:
        """The state at a time of `schedule.used`."""
        return self.states[self.schedule.used.index(t)]

    def noised(self, image: Latent) -> Latent:
        """Another picture at t_s, under the noise of this one; the same to the bit where the pictures are."""
        return self.z + (1 - self.schedule.edit_time) * (image - self.image)


def invert(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    schedule: Schedule,
    *,
    solver: Solver = "fireflow",
    kv_blocks: tuple[str, ...] | None,
    every: int | None = None,
    show: Show,
    observer: Observer,
) -> Inversion:
    """Solve from t = 0 up to t_s.

    Args:
        backbone: the model.
        image: latent of the picture (1, c, h, w).
        cond: source prompt, guidance 1.
        schedule: time grid.
        solver: how its intervals are crossed.
        kv_blocks: blocks whose K/V are recorded at every call; None for none.
        every: keys and values of all tokens are recorded at one call of so many; None: at none.
        show: decodes previews.
        observer: gets an event for every call.
    """
    times = schedule.used[::-1]
    called = call_times(times, solver)
    recording = _recording(backbone, image, cond, called, kv_blocks, None if every is None else called[::-1][::every])

    states = [image]

    def keep(z: Latent, _: int) -> Latent:
        states.append(z)
        return z

    with phase("invert", len(called), observer) as meter:
        integrate(meter.watch(recording.velocity, show), image, times, solver=solver, after=keep)
    return Inversion(schedule, tuple(states[::-1]), recording.kv, recording.tokens)


def noise(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    schedule: Schedule,
    *,
    seed: int,
    solver: Solver = "fireflow",
    kv_blocks: tuple[str, ...] | None,
    every: int | None = None,
    show: Show,
    observer: Observer,
) -> Inversion:
    """The picture under one noise at every time, z_t = (1 - t) z_0 + t eps, in place of its inversion.

    Args:
        backbone: the model.
        image: latent of the picture (1, c, h, w).
        cond: source prompt, guidance 1; looked at only to record.
        schedule: time grid.
        seed: of the noise, which is drawn on the CPU so that every device draws the same.
        solver: how its intervals are crossed on the way back.
        kv_blocks: blocks whose K/V are recorded, at the times of the way back; None for none.
        every: keys and values of all tokens are recorded at one of so many of these times; None: at none. Where nothing
            is recorded the model is not called.
        show: decodes previews.
        observer: gets an event for every call.
    """
    # Another seed than that of the start's fresh noise, which would not be fresh.
    eps = torch.randn(image.shape, generator=torch.Generator().manual_seed(~seed)).to(image)

    def at(t: float) -> Latent:
        return (1 - t) * image + t * eps

    times = call_times(schedule.used, solver)
    recording = _recording(backbone, image, cond, times, kv_blocks, None if every is None else times[::every])
    called = times if kv_blocks is not None else () if recording.tokens is None else tuple(recording.tokens.times)
    if called:
        with phase("invert", len(called), observer) as meter:
            velocity = meter.watch(recording.velocity, show)
            for t in called:
                velocity(at(t), t)
    return Inversion(schedule, (*map(at, schedule.used[:-1]), image), recording.kv, recording.tokens)


def invert_coarsely(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    schedule: Schedule,
    *,
    solver: Solver = "fireflow",
    stride: int,
    active: Callable[[float], Active | None] = lambda t: None,
    after: Callable[[Latent, float], Latent] = lambda z, t: z,
    show: Show,
    observer: Observer,
) -> Latent:
    """The latent at t_s of another picture (a preview), `stride` intervals at a step, nothing recorded.

    Args:
        backbone: the model.
        image: latent of the picture (1, c, h, w).
        cond: its prompt.
        schedule: time grid.
        solver: how its intervals are crossed.
        stride: intervals at a step.
        active: the tokens that a call at a time computes.
        after: what becomes of the latent at the end of a step, at its time.
        show: decodes previews.
        observer: gets an event for every call.
    """
    times = coarse_times(schedule, stride)
    with phase("start", len(call_times(times, solver)), observer) as meter:
        velocity = meter.watch(lambda z, t: backbone.velocity(z, t, cond, active=active(t)), show)
        return integrate(velocity, image, times, solver=solver, after=lambda z, k: after(z, times[k]))


def coarse_times(schedule: Schedule, stride: int) -> tuple[float, ...]:
    """Every `stride`-th time from 0 up to and including t_s."""
    up = schedule.used[::-1]
    times = up[::stride]
    return times if times[-1] == up[-1] else (*times, up[-1])


@dataclass(frozen=True, eq=False)
class _Recording:
    """Calls that record what edits need later."""

    backbone: Backbone
    cond: Conditioning
    kv: KVStore | None
    tokens: TokenRecord | None

    def velocity(self, z: Latent, t: float) -> Latent:
        """That of the model."""
        kv = None if self.kv is None else self.kv.recorder(t)
        record = None if self.tokens is None else self.tokens.times.get(t)
        return self.backbone.velocity(z, t, self.cond, kv=kv, record=record)


def _recording(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    called: tuple[float, ...],
    kv_blocks: tuple[str, ...] | None,
    recorded: tuple[float, ...] | None,
) -> _Recording:
    """Calls at these times, with room for what they record of K/V at some blocks, and of all tokens at some times."""
    spec = backbone.spec
    h, w = spec.token_grid((image.shape[-2], image.shape[-1]))
    kv = tokens = None
    if kv_blocks is not None:
        size = 2 * len(kv_blocks) * len(called) * h * w * spec.kv_token_bytes
        kv = KVStore(frozenset(kv_blocks), backbone.cache_device(size))
    if recorded is not None:
        size = len(recorded) * (h * w + spec.text_limit) * spec.record_token_bytes
        tokens = TokenRecord.of(recorded, backbone.cache_device(size))
    return _Recording(backbone, cond, kv, tokens)
