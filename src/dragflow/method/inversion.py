"""From the picture up to the edit time, with everything the edit needs later recorded on the way (method Sec. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dragflow.core.config import Solver
from dragflow.core.events import Observer
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

    @property
    def z(self) -> Latent:
        """The latent at the edit time t_s."""
        return self.states[0]

    @property
    def image(self) -> Latent:
        """The latent of the picture."""
        return self.states[-1]

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
        show: decodes previews.
        observer: gets an event for every call.
    """
    times = schedule.used[::-1]
    calls = len(call_times(times, solver))
    store = None if kv_blocks is None else _store(backbone, image, kv_blocks, calls)

    def velocity(z: Latent, t: float) -> Latent:
        return backbone.velocity(z, t, cond, kv=None if store is None else store.recorder(t))

    states = [image]

    def keep(z: Latent, _: int) -> Latent:
        states.append(z)
        return z

    with phase("invert", calls, observer) as meter:
        integrate(meter.watch(velocity, show), image, times, solver=solver, after=keep)
    return Inversion(schedule, tuple(states[::-1]), store)


def noise(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    schedule: Schedule,
    *,
    seed: int,
    solver: Solver = "fireflow",
    kv_blocks: tuple[str, ...] | None,
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
        kv_blocks: blocks whose K/V are recorded, at the times of the way back; None for none, without a model call.
        show: decodes previews.
        observer: gets an event for every call.
    """
    # Another seed than that of the start's fresh noise, which would not be fresh.
    eps = torch.randn(image.shape, generator=torch.Generator().manual_seed(~seed)).to(image)

    def at(t: float) -> Latent:
        return (1 - t) * image + t * eps

    store = None
    if kv_blocks is not None:
        times = call_times(schedule.used, solver)
        store = record = _store(backbone, image, kv_blocks, len(times))
        with phase("invert", len(times), observer) as meter:
            velocity = meter.watch(lambda z, t: backbone.velocity(z, t, cond, kv=record.recorder(t)), show)
            for t in times:
                velocity(at(t), t)
    return Inversion(schedule, (*map(at, schedule.used[:-1]), image), store)


def invert_coarsely(
    backbone: Backbone,
    image: Latent,
    cond: Conditioning,
    schedule: Schedule,
    *,
    solver: Solver = "fireflow",
    stride: int,
    show: Show,
    observer: Observer,
) -> Latent:
    """The latent at t_s of another picture (a preview), `stride` intervals at a step, nothing recorded."""
    times = coarse_times(schedule, stride)
    with phase("start", len(call_times(times, solver)), observer) as meter:
        velocity = meter.watch(lambda z, t: backbone.velocity(z, t, cond), show)
        return integrate(velocity, image, times, solver=solver)


def coarse_times(schedule: Schedule, stride: int) -> tuple[float, ...]:
    """Every `stride`-th time from 0 up to and including t_s."""
    up = schedule.used[::-1]
    times = up[::stride]
    return times if times[-1] == up[-1] else (*times, up[-1])


def _store(backbone: Backbone, image: Latent, blocks: tuple[str, ...], calls: int) -> KVStore:
    h, w = backbone.spec.token_grid((image.shape[-2], image.shape[-1]))
    size = 2 * len(blocks) * calls * h * w * backbone.spec.kv_token_bytes
    return KVStore(frozenset(blocks), backbone.cache_device(size))
