"""Between a person's pixels and the method's tensors: the working size, the drag on grids, the final composite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dragflow.core.config import EditConfig
from dragflow.core.motion import Matrix, motion_matrix
from dragflow.core.task import DragTask
from dragflow.io.masks import feather, nearness, warp_mask
from dragflow.io.preview import is_deformation, trail
from dragflow.io.resolve import full_matrix
from dragflow.method.backbone import Image
from dragflow.ops import geometry, masks


def working_size(size: tuple[int, int], max_pixels: int, multiple: int) -> tuple[int, int]:
    """(h, w) at which the model works: scaled down to `max_pixels`, then each side floored to the multiple."""
    h, w = size
    scale = min(1.0, (max_pixels / (h * w)) ** 0.5)
    return max(multiple, int(h * scale) // multiple * multiple), max(multiple, int(w * scale) // multiple * multiple)


def composite(task: DragTask, decoded: Image, config: EditConfig) -> NDArray[np.uint8]:
    """B~ decoded + (1 - B~) source, B~ feathered inside B: outside of B the source's own bytes (method Sec. 7).

    Where an operation takes from or puts to, B~ is 1 up to the rim of B: the rectangle of App. D.2 touches the regions,
    and fading to the source there would leave a rim of the old object behind.
    """
    source = task.image
    edited = as_pixels(F.interpolate(decoded, size=source.shape[:2], mode="bicubic", antialias=True).clamp(0, 1))
    if not config.area.composite:
        return edited
    touched = np.logical_or.reduce(
        [m for op in task.operations for m in (op.mask, warp_mask(op.mask, full_matrix(op)))]
    )
    fade = config.area.feather
    weight = np.maximum(feather(task.area, fade), nearness(touched, fade))[..., None]
    blended = np.rint(weight * edited + (1 - weight) * source).astype(np.uint8)
    return np.where(task.area[..., None], blended, source)


def cell_map(task: DragTask, regions: Sequence[torch.Tensor], grid: tuple[int, int]) -> geometry.CellMap:
    """The whole drag on one grid, operation after operation."""
    size = (task.area.shape[0], task.area.shape[1])
    cells = geometry.identity_map(grid, regions[0])
    for region, operation in zip(regions, task.operations, strict=True):
        steps = trail(operation, cell=size[0] / grid[0])
        path: list[Matrix] = [
            geometry.to_grid(motion_matrix(operation.motion, operation.handle, progress), size, grid)
            for progress in steps
        ]
        covered = masks.covered_cells(masks.coverage(region, grid))
        cells = geometry.move_cells(cells, covered, path, leaves_hole=not is_deformation(operation))
    return cells


def as_image(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    """Pixels (H, W, 3) as an image tensor of `size` (h, w)."""
    image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    if size == pixels.shape[:2]:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def as_pixels(image: Image) -> NDArray[np.uint8]:
    """An image tensor as pixels (H, W, 3)."""
    return (image[0].permute(1, 2, 0) * 255).round().to("cpu", torch.uint8).numpy()
