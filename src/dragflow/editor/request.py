"""A request as the method takes it: on the model's grids and device, with all that the model is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch

from dragflow.core.config import EditConfig
from dragflow.core.task import DragTask
from dragflow.editor import frames
from dragflow.editor.wording import target_prompt
from dragflow.method.backbone import Backbone, Conditioning, Fill, Image, Latent, Reference, Subject
from dragflow.method.drag import Drag
from dragflow.method.filling import kept, with_hole
from dragflow.method.inversion import Inversion
from dragflow.method.references import references_of, unmoved
from dragflow.method.supervision.region import RegionMotion
from dragflow.ops import masks
from dragflow.pixels.elastic import elastic
from dragflow.pixels.masks import shown
from dragflow.pixels.preview import hole


def as_drag(
    backbone: Backbone,
    task: DragTask,
    config: EditConfig,
    inversion: Inversion,
    *,
    preview: Callable[[], Image],
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
    regions = [torch.tensor(shown(op)).to(device) for op in task.operations]
    weights = masks.region_weights(regions)
    warp = elastic(task)
    around = [frames.stretch(warp, op, device) if config.optimise.stretch else None for op in task.operations]
    cells, prompt = frames.cell_map(task, regions, grid, warp), target_prompt(task, config, spec)

    @cache
    def proposal() -> Latent:
        return backbone.encode(preview())

    @cache
    def moved() -> tuple[Reference, ...]:
        return references_of(config.references, inversion.image, cells, proposal)

    def still() -> tuple[Reference, ...]:
        return unmoved(config.references, inversion.image, grid)

    @cache
    def filled() -> Fill | None:
        if not spec.fills:
            return None
        image, (h, w) = preview(), task.area.shape
        size = (image.shape[-2], image.shape[-1])
        # The seam is as wide as a latent cell, at the size of the picture.
        seam = math.ceil(spec.latent_stride * max(h / size[0], w / size[1]))
        return with_hole(backbone, image, masks.any_cells(torch.tensor(hole(task, seam)), size))

    def told(
        subject: Subject | None, seen: Callable[[], tuple[Reference, ...]], fill: Callable[[], Fill | None]
    ) -> Callable[[float], Conditioning]:
        return lambda guidance: backbone.condition(
            prompt, subject=subject, references=seen(), fill=fill(), guidance=guidance
        )

    return Drag(
        regions=tuple(
            RegionMotion(mask, op.motion, op.handle, weight, stretch)
            for mask, op, weight, stretch in zip(regions, task.operations, weights, around, strict=True)
        ),
        area=masks.any_cells(torch.tensor(task.area).to(device), latent),
        latent_cells=frames.cell_map(task, regions, latent, warp),
        token_cells=cells,
        target=told(sampling, moved, filled),
        still=told(sampling, still, lambda: kept(inversion.image, spec)),
        inverting=told(inverting, moved, lambda: kept(proposal(), spec)),
        proposal=proposal,
    )
