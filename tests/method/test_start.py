"""Starts: the source itself, its cells at their targets, or the inverted preview."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dragflow.core.config import StartConfig
from dragflow.method.backbone import Schedule
from dragflow.method.inversion import Inversion, coarse_times
from dragflow.method.start import Proposal, start_latent
from dragflow.ops.geometry import CellMap, identity_map, move_cells, remove_cells
from dragflow.ops.masks import rim

TIME = 0.8
SIZE = (5, 7)


def randn(seed: int) -> Tensor:
    return torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


INVERSION = Inversion(Schedule((1.0, TIME, 0.0), 1), (randn(0), randn(1)), None)
PROPOSAL = Proposal(image=randn(2), z=randn(3))
AREA = torch.ones(SIZE, dtype=torch.bool)
AREA[:, 6] = False
REGION = torch.zeros(SIZE, dtype=torch.bool)
REGION[1:4, 1:3] = True
CELLS = move_cells(identity_map(SIZE, AREA), REGION, ((1.0, 0.0, 2.0), (0.0, 1.0, 0.0)))


def start(config: StartConfig, *, seed: int = 0, allowed: bool = True, cells: CellMap = CELLS) -> Tensor:
    def proposal() -> Proposal:
        assert allowed, "this start needs no proposal"
        return PROPOSAL

    generator = torch.Generator().manual_seed(seed)
    return start_latent(INVERSION, cells, AREA, config, proposal=proposal, generator=generator)


def test_the_source_is_the_inverted_picture() -> None:
    assert torch.equal(start(StartConfig("source"), allowed=False), INVERSION.z)


def test_what_is_removed_is_filled_even_where_the_source_is_the_start() -> None:
    z = start(StartConfig("source"), cells=remove_cells(identity_map(SIZE, AREA), REGION))
    assert torch.equal(z[..., REGION], PROPOSAL.z[..., REGION])
    assert torch.equal(z[..., ~REGION], INVERSION.z[..., ~REGION])


def test_the_preview_is_its_inversion_inside_of_the_area() -> None:
    z = start(StartConfig("preview"))
    assert torch.equal(z[..., AREA], PROPOSAL.z[..., AREA])
    assert torch.equal(z[..., ~AREA], INVERSION.z[..., ~AREA])


def test_the_warp_carries_cells_and_fills_the_hole_from_the_inpainting() -> None:
    z = start(StartConfig("warp", fill="inpaint"))
    assert torch.equal(z[..., 1:4, 3:5], INVERSION.z[..., 1:4, 1:3])
    assert torch.equal(z[..., 1:4, 1:3], PROPOSAL.z[..., 1:4, 1:3])
    still = ~(CELLS.moved | CELLS.vacated)
    assert torch.equal(z[..., still], INVERSION.z[..., still])


def test_a_hole_filled_with_noise_needs_no_proposal_and_has_the_spread_of_the_latent() -> None:
    z = start(StartConfig("warp", fill="noise"), allowed=False)
    noise = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(z[..., CELLS.vacated], (0.2**2 + 0.8**2) ** 0.5 * noise[..., CELLS.vacated])
    assert torch.equal(z[..., 1:4, 3:5], INVERSION.z[..., 1:4, 1:3])
    assert not torch.equal(z, start(StartConfig("warp", fill="noise"), seed=1, allowed=False))


@pytest.mark.parametrize("mode", ["warp", "preview"])
def test_repair_touches_the_hole_and_the_seams_only(mode: str) -> None:
    config = StartConfig(mode)  # pyright: ignore[reportArgumentType]
    plain, repaired = start(config), start(replace(config, repair=0.5))
    touched = CELLS.vacated | (rim(CELLS.moved) & AREA)
    assert torch.equal(repaired[..., ~touched], plain[..., ~touched])
    assert not (repaired[..., touched] == plain[..., touched]).any()


def test_full_repair_is_the_same_image_under_fresh_noise() -> None:
    z = start(StartConfig("preview", repair=1.0))
    noise = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    expected = 0.2 * PROPOSAL.image + 0.8 * noise
    assert torch.allclose(z[..., CELLS.vacated], expected[..., CELLS.vacated], atol=1e-5)


def test_outside_of_the_area_nothing_starts_elsewhere() -> None:
    outside = torch.zeros(SIZE, dtype=torch.bool)
    z = start_latent(
        INVERSION,
        CELLS,
        outside,
        StartConfig("warp", repair=1.0),
        proposal=lambda: PROPOSAL,
        generator=torch.Generator(),
    )
    assert torch.equal(z, INVERSION.z)


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 50])
def test_coarse_times_go_from_zero_to_the_edit_time(stride: int) -> None:
    schedule = Schedule((1.0, 0.9, 0.8, 0.7, 0.6, 0.4, 0.2, 0.0), 2)
    times = coarse_times(schedule, stride)
    assert (times[0], times[-1]) == (0.0, 0.8)
    assert list(times) == sorted(set(times))
    assert len(times) == 1 + -(-5 // stride)
    assert set(times) <= set(schedule.used)
