"""The edit of an inverted picture, step by step (method Sec. 6 and 7); the only orchestration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool
from torch import Tensor

from dragflow.core.config import EditConfig, OptimiseConfig
from dragflow.core.events import Observer
from dragflow.method.active import Active, TextTokens
from dragflow.method.backbone import Backbone, Conditioning, Features, KVControl, Latent
from dragflow.method.inversion import Inversion, invert_coarsely
from dragflow.method.kv import TokenMap
from dragflow.method.optimise import Supervision, optimise
from dragflow.method.phases import Show, phase
from dragflow.method.start import Proposal, start_latent
from dragflow.method.supervision.point import PointSupervision
from dragflow.method.supervision.region import RegionMotion, RegionSupervision
from dragflow.ops.flow import call_times, image_estimate, integrate, stepper
from dragflow.ops.geometry import CellMap, gather_cells, identity_map


@dataclass(frozen=True, eq=False)
class Drag:
    """One edit as the method sees it."""

    regions: tuple[RegionMotion, ...]
    """What moves; nothing where all is removed, which leaves nothing to optimise."""
    area: Bool[Tensor, "h w"]
    """B at latent resolution."""
    latent_cells: CellMap
    """The drag on the latent grid."""
    token_cells: CellMap
    """The drag on the token grid."""
    target: Callable[[float], Conditioning]
    """Conditioning of the target prompt at a guidance, to drag and to denoise."""
    still: Callable[[float], Conditioning]
    """The same, for the source as it is: without references that show something moved."""
    inverting: Callable[[float], Conditioning]
    """The same, to invert the proposal."""
    proposal: Callable[[], Latent]
    """The latent of the pixel preview; drawn and encoded only if it is needed."""
    tokens: Bool[Tensor, "gh gw"] | None = None
    """Those that are computed, where the inversion has a record of the others; None: all."""
    text: TextTokens = "fresh"
    """Whether the target prompt's tokens are computed with them."""

    def active(self, inversion: Inversion, t: float) -> Active | None:
        """What a model call at time t computes."""
        if self.tokens is None or inversion.tokens is None:
            return None
        return inversion.tokens.active(t, self.tokens, self.text)


def drag(
    backbone: Backbone, inversion: Inversion, edit: Drag, config: EditConfig, *, show: Show, observer: Observer
) -> tuple[Latent, tuple[float, ...]]:
    """Drag an inverted picture.

    Returns:
        The latent of the edited picture (1, c, h, w), and the loss of every iteration.
    """
    if edit.active(inversion, inversion.schedule.edit_time) is not None:
        # What is not computed is told by the source alone.
        show = _within(edit.area, inversion.image, show)

    # 1. The start: the inverted source, or something closer to the desired picture.
    z = _start(backbone, inversion, edit, config, show, observer)

    # 2. What is compared with: features of the source where it still is, under its own K/V.
    t = inversion.schedule.edit_time
    taps = config.optimise.taps or backbone.spec.taps
    cond, still = edit.target(config.optimise.guidance), edit.still(config.optimise.guidance)
    place = _injection(inversion, edit, config)

    def features(z: Latent, cond: Conditioning, kv: KVControl | None) -> Features:
        return backbone.features(z, t, cond, taps=taps, kv=kv, active=edit.active(inversion, t))

    def velocity(z: Latent) -> Latent:
        return backbone.velocity(z, t, cond, kv=place(t), active=edit.active(inversion, t))

    # 3. The drag: a few (or many) gradient steps on the latent.
    losses: tuple[float, ...] = ()
    if edit.regions and config.optimise.moving + config.optimise.refining:
        with torch.no_grad():
            reference = features(inversion.z, still, _recorded(inversion, config, t))
        supervision = _supervision(reference, edit, config.optimise)
        z, losses = optimise(
            z,
            inversion.z,
            edit.area,
            lambda z: features(z, cond, place(t)),
            supervision,
            config.optimise,
            preview=lambda z: lambda: show(lambda: image_estimate(z, velocity(z), t)),
            observer=observer,
        )

    # 4. The way back to the picture, with the background put back after every step.
    return _denoise(backbone, z, inversion, edit, config, place, show, observer), losses


def _within(area: Bool[Tensor, "h w"], source: Latent, show: Show) -> Show:
    """Shows a latent in the area, and the source around it."""
    return lambda z: show(lambda: torch.where(area, z(), source))


def _supervision(reference: Features, edit: Drag, config: OptimiseConfig) -> Supervision:
    if config.supervision == "point":
        return PointSupervision(reference, edit.regions, config.patch, config.search)
    return RegionSupervision(reference, edit.regions, config.mean)


def _start(
    backbone: Backbone, inversion: Inversion, edit: Drag, config: EditConfig, show: Show, observer: Observer
) -> Latent:
    def restore(z: Latent, t: float) -> Latent:
        return z if edit.active(inversion, t) is None else torch.where(edit.area, z, inversion.at(t))

    def proposal() -> Proposal:
        image = edit.proposal()
        if config.inversion.mode == "noised":
            return Proposal(image, inversion.noised(image))
        cond = edit.inverting(config.inversion.guidance)
        z = invert_coarsely(
            backbone,
            image,
            cond,
            inversion.schedule,
            solver=config.inversion.solver,
            stride=config.start.stride,
            active=lambda t: edit.active(inversion, t),
            after=restore,
            show=show,
            observer=observer,
        )
        return Proposal(image, z)

    generator = torch.Generator().manual_seed(config.seed)
    return start_latent(inversion, edit.latent_cells, edit.area, config.start, proposal=proposal, generator=generator)


Injection = Callable[[float], KVControl | None]


def _injection(inversion: Inversion, edit: Drag, config: EditConfig) -> Injection:
    """The K/V control of the dragged picture at a time."""
    if inversion.kv is None or config.kv.rule == "none":
        return lambda _: None
    store, cells = inversion.kv, edit.token_cells
    if config.kv.rule == "mapped":
        tokens = TokenMap.of(cells)
    elif cells.removed is not None:  # in place what is removed would be remembered, and drawn again
        grid = (cells.removed.shape[0], cells.removed.shape[1])
        tokens = TokenMap.of(replace(identity_map(grid, cells.removed), vacated=cells.removed))
    else:
        tokens = None
    return lambda t: store.injector(t, tokens)


def _recorded(inversion: Inversion, config: EditConfig, t: float) -> KVControl | None:
    """The K/V control of the source at a time."""
    if config.kv.rule == "none" or inversion.kv is None:
        return None
    return inversion.kv.injector(t)


def _denoise(
    backbone: Backbone,
    z: Latent,
    inversion: Inversion,
    edit: Drag,
    config: EditConfig,
    place: Injection,
    show: Show,
    observer: Observer,
) -> Latent:
    times, solver = inversion.schedule.used, config.inversion.solver
    cond = edit.target(config.denoise.guidance)
    branches = 2 if config.denoise.background == "resample" else 1
    with phase("denoise", branches * len(call_times(times, solver)), observer) as meter:

        def velocity(z: Latent, t: float) -> Latent:
            return backbone.velocity(z, t, cond, kv=place(t), active=edit.active(inversion, t))

        dragged = meter.watch(velocity, show)
        source = edit.still(config.inversion.guidance)  # the published branches differ in guidance, not in prompt
        branch = meter.watch(lambda z, t: backbone.velocity(z, t, source, kv=_recorded(inversion, config, t)), show)
        backgrounds = _backgrounds(inversion, config, branch)

        def restore(z: Latent, k: int) -> Latent:
            if times[k] > config.denoise.copy_until:
                z = torch.where(edit.latent_cells.moved, gather_cells(inversion.states[k], edit.latent_cells), z)
            background = next(backgrounds)
            return z if background is None else torch.where(edit.area, z, background)

        return integrate(dragged, z, times, solver=solver, after=restore)


def _backgrounds(
    inversion: Inversion, config: EditConfig, branch: Callable[[Latent, float], Latent]
) -> Iterator[Latent | None]:
    """z_bg at every time after t_s: recorded in the inversion, re-sampled alongside the edit, or nothing."""
    if config.denoise.background == "replay":
        yield from inversion.states[1:]
        return
    times = inversion.schedule.used
    if config.denoise.background == "none":
        yield from [None] * (len(times) - 1)
        return
    z, step = inversion.z, stepper(branch, config.inversion.solver)
    for a, b in pairwise(times):
        z = step(z, a, b)
        yield z
