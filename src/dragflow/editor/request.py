"""A request as the method takes it: on the model's grids and device, with all that the model is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Bool
from torch import Tensor

from dragflow.core.config import EditConfig
from dragflow.core.task import DragTask
from dragflow.editor import frames
from dragflow.editor.round_trip import RoundTrip
from dragflow.editor.wording import target_prompt
from dragflow.method.backbone import Backbone, Conditioning, Fill, Image, Latent, Reference, Subject
from dragflow.method.drag import Drag
from dragflow.method.filling import kept, with_hole
from dragflow.method.inversion import Inversion
from dragflow.method.references import references_of, unmoved
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops import masks
from dragflow.pixels.elastic import Elastic, elastic
from dragflow.pixels.masks import shown
from dragflow.pixels.preview import hole


def as_drag(
    backbone: Backbone,
    task: DragTask,
    config: EditConfig,
    inversion: Inversion,
    *,
    preview: Callable[[], RoundTrip],
    sampling: Subject | None,
    inverting: Subject | None,
) -> Drag:
    """The request as the method takes it.

    Args:
        backbone: the model.
        task: on what the model sees.
        config: how the edit is made.
        inversion: of the source.
        preview: the pixel preview, at the model's working size; called only if it is needed.
        sampling: the subject while dragging and denoising.
        inverting: the subject while the preview is inverted.
    """
    spec, device, latent = backbone.spec, backbone.device, (inversion.z.shape[-2], inversion.z.shape[-1])
    grid = spec.token_grid(latent)
    regions, warp = [torch.tensor(shown(op)).to(device) for op in task.operations], elastic(task)
    cells, prompt = frames.cell_map(task, regions, grid, warp), target_prompt(task, config, spec)

    def proposal() -> Latent:
        return preview().latent

    @cache
    def moved() -> tuple[Reference, ...]:
        return references_of(config.references, inversion.image, cells, proposal)

    def still() -> tuple[Reference, ...]:
        return unmoved(config.references, inversion.image, grid)

    @cache
    def filled() -> Fill | None:
        return _filled(backbone, task, preview().image) if spec.fills else None

    def told(
        subject: Subject | None, seen: Callable[[], tuple[Reference, ...]], fill: Callable[[], Fill | None]
    ) -> Callable[[float], Conditioning]:
        return lambda guidance: backbone.condition(
            prompt, subject=subject, references=seen(), fill=fill(), guidance=guidance
        )

    area = torch.tensor(task.area).to(device)
    touched = masks.any_cells(area, grid) | cells.moved | cells.vacated
    return Drag(
        regions=_motions(task, regions, warp if config.optimise.stretch else None),
        area=masks.any_cells(area, latent),
        latent_cells=frames.cell_map(task, regions, latent, warp),
        token_cells=cells,
        target=told(sampling, moved, filled),
        still=told(sampling, still, lambda: kept(inversion.image, spec)),
        inverting=told(inverting, moved, lambda: kept(proposal(), spec)),
        proposal=proposal,
        tokens=masks.grown(touched, config.tokens.rim) if config.records else None,
        text=config.tokens.text if prompt == task.prompt else "fresh",
    )


def _motions(task: DragTask, regions: list[Bool[Tensor, "H W"]], warp: Elastic | None) -> tuple[RegionMotion, ...]:
    """What moves, and what stretches around it under a warp; what is removed is nowhere to be compared."""
    moving = [(mask, op) for mask, op in zip(regions, task.operations, strict=True) if op.lands]
    weights = masks.region_weights([mask for mask, _ in moving])
    return tuple(
        RegionMotion(mask, op.motion, op.handle, weight, frames.stretch(warp, op, mask.device))
        for (mask, op), weight in zip(moving, weights, strict=True)
    )


def _filled(backbone: Backbone, task: DragTask, preview: Image) -> Fill:
    """The preview at the model's working size, and what of it the model draws."""
    size, (h, w) = (preview.shape[-2], preview.shape[-1]), task.area.shape
    # The seam is as wide as a latent cell, at the size of the picture.
    seam = math.ceil(backbone.spec.latent_stride * max(h / size[0], w / size[1]))
    return with_hole(backbone, preview, masks.any_cells(torch.tensor(hole(task, seam)), size))
