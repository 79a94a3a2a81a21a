"""Where the optimisation starts: the closer to the desired picture, the fewer iterations it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from dragflow.core.config import StartConfig
from dragflow.method.backbone import Latent
from dragflow.method.inversion import Inversion
from dragflow.ops.flow import noise_part
from dragflow.ops.geometry import CellMap, gather_cells
from dragflow.ops.masks import rim


@dataclass(frozen=True, eq=False)
class Proposal:
    """The pixel preview as latents: of the picture itself (t = 0), and inverted (t = t_s)."""

    image: Latent
    z: Latent


def start_latent(
    inversion: Inversion,
    cells: CellMap,
    area: Bool[Tensor, "h w"],
    config: StartConfig,
    *,
    proposal: Callable[[], Proposal],
    generator: torch.Generator,
) -> Latent:
    """The latent at t_s from which dragging starts; outside the area it is the inverted source.

    Args:
        inversion: of the source.
        cells: the drag on the latent grid.
        area: B on the latent grid.
        config: what to start from.
        proposal: encodes and inverts the pixel preview; called only if the start needs it.
        generator: source of fresh noise, on the CPU so that every device draws the same.
    """
    t = inversion.schedule.edit_time
    if config.mode == "source":
        z, image = inversion.z, inversion.image
        if cells.removed is not None:  # nothing is optimised there: what the source shows would stay
            z = torch.where(cells.removed, proposal().z, z)
    elif config.mode in ("preview", "bridge"):
        proposed = proposal()
        z, image = proposed.z, proposed.image
    else:
        z, image = _warped(inversion, cells, config, proposal, t, generator)
    # Cells that no source fills and cells at the seams get fresh noise, so that the model can draw them itself.
    if config.repair > 0 and config.mode != "source":
        seams = cells.vacated | (rim(cells.moved) & area)
        z = torch.where(seams, _renoise(z, image, t, config.repair, generator), z)
    return torch.where(area, z, inversion.z)


def _warped(
    inversion: Inversion,
    cells: CellMap,
    config: StartConfig,
    proposal: Callable[[], Proposal],
    t: float,
    generator: torch.Generator,
) -> tuple[Latent, Latent]:
    z, image = gather_cells(inversion.z, cells), gather_cells(inversion.image, cells)
    if config.fill == "noise":
        spread = ((1 - t) ** 2 + t**2) ** 0.5  # of z_t when image and noise both have unit variance
        return torch.where(cells.vacated, spread * _noise(z, generator), z), image
    proposed = proposal()
    return torch.where(cells.vacated, proposed.z, z), torch.where(cells.vacated, proposed.image, image)


def _renoise(z: Latent, image: Latent, t: float, share: float, generator: torch.Generator) -> Latent:
    """The same image under noise of which `share` (of the variance) is fresh."""
    noise = (1 - share) ** 0.5 * noise_part(z, image, t) + share**0.5 * _noise(z, generator)
    return (1 - t) * image + t * noise


def _noise(like: Latent, generator: torch.Generator) -> Latent:
    return torch.randn(like.shape, generator=generator).to(like)
