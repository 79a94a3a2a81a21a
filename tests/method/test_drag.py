"""The orchestration on a model whose answers are known: what ends where in the latent."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dragflow.core.config import DenoiseConfig, EditConfig, InversionConfig, KVConfig, OptimiseConfig
from dragflow.core.events import silent
from dragflow.core.motion import Translate
from dragflow.method.backbone import Schedule, Site
from dragflow.method.drag import Drag, drag
from dragflow.method.inversion import Inversion
from dragflow.method.kv import KVStore
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops.geometry import CellMap, identity_map, remove_cells

TIMES = (0.8, 0.6, 0.4, 0.2, 0.0)
GRID = (4, 5)


class Still:
    """A model in which nothing flows: what stands in the latent stays there."""

    spec = SimpleNamespace(taps=("tap",))

    def velocity(self, z: Tensor, t: float, cond: object, **_: object) -> Tensor:
        return torch.zeros_like(z)

    def features(self, z: Tensor, t: float, cond: object, *, taps: tuple[str, ...], **_: object) -> tuple[Tensor]:
        return (z,)


def states() -> tuple[Tensor, ...]:
    """A state for every time, told apart by its hundreds; cells count from 0."""
    cells = torch.arange(20.0).reshape(1, 1, *GRID)
    return tuple(100 * k + cells for k in range(len(TIMES)))


def edited(config: EditConfig) -> Tensor:
    """The second cell of the first row goes two cells to the right; everything may change."""
    index = torch.arange(20).reshape(GRID)
    moved, vacated = torch.zeros(GRID, dtype=torch.bool), torch.zeros(GRID, dtype=torch.bool)
    index[0, 3], moved[0, 3], vacated[0, 1] = 1, True, True
    cells = CellMap(index, moved, vacated)
    mask = torch.zeros(32, 40, dtype=torch.bool)
    mask[0:8, 8:16] = True
    region = RegionMotion(mask, Translate((27.5, 3.5)), (11.5, 3.5), 1.0)
    area = torch.ones(GRID, dtype=torch.bool)

    def cond(guidance: float) -> None: ...

    request = Drag((region,), area, cells, cells, cond, cond, cond, lambda: torch.zeros(1, 1, *GRID))
    inversion = Inversion(Schedule(TIMES, 0), states(), None)
    model: Any = Still()
    z, _ = drag(model, inversion, request, config, show=lambda z: z().numpy(), observer=silent)
    return z[0, 0]


def config(copy_until: float, **optimise: Any) -> EditConfig:
    still: dict[str, Any] = {"moving": 0, "refining": 0}
    return EditConfig(
        kv=KVConfig("none"),
        optimise=OptimiseConfig(**(still | optimise)),
        denoise=DenoiseConfig(background="none", copy_until=copy_until),
    )


@pytest.mark.parametrize(("until", "last"), [(1.0, None), (0.7, None), (0.5, 1), (0.3, 2), (0.1, 3), (0.0, 3)])
def test_moved_cells_are_given_the_sources_state_down_to_a_time(until: float, last: int | None) -> None:
    z = edited(config(until))
    expected = states()[0][0, 0].clone()
    if last is not None:
        expected[0, 3] = 100 * last + 1
    assert torch.equal(z, expected)


def test_points_and_regions_are_different_supervisions() -> None:
    region = edited(config(1.0, refining=1))
    point = edited(config(1.0, supervision="point", moving=1))
    start = states()[0][0, 0]
    assert {(int(y), int(x)) for y, x in (region != start).nonzero()} == {(0, 3)}  # the region where it should be
    assert (0, 3) not in {(int(y), int(x)) for y, x in (point != start).nonzero()}  # the point one step on its way
    assert not torch.equal(point, start)


class Watching(Still):
    """A still model that keeps the K/V controls that it was called with."""

    def __init__(self) -> None:
        self.controls: list[Any] = []

    def velocity(self, z: Tensor, t: float, cond: object, *, kv: object = None, **_: object) -> Tensor:
        self.controls.append(kv)
        return super().velocity(z, t, cond)


def test_a_removal_is_not_optimised_and_its_keys_are_not_remembered() -> None:
    site, removed = Site("double.0", "k"), torch.zeros(GRID, dtype=torch.bool)
    removed[1, 2] = True
    cells, store = remove_cells(identity_map(GRID, removed), removed), KVStore(frozenset({"double.0"}), removed.device)
    store.recorder(0.5)(site, torch.zeros(1, 20, 1))
    filling = torch.full((1, 1, *GRID), -1.0)

    def kept(guidance: float) -> Any: ...

    request = Drag((), torch.ones(GRID, dtype=torch.bool), cells, cells, kept, kept, kept, lambda: filling)
    settings = replace(config(0.0, moving=3), kv=KVConfig("in-place"), inversion=InversionConfig(mode="noised"))
    inversion = Inversion(Schedule(TIMES, 0), states(), store)
    model: Any = Watching()
    _, losses = drag(model, inversion, request, settings, show=lambda z: z().numpy(), observer=silent)
    assert losses == ()
    injected = [
        control(site, torch.ones(1, 20, 1)).flatten().nonzero().flatten().tolist() for control in model.controls
    ]
    assert injected
    assert all(own == [7] for own in injected)
