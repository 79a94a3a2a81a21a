"""From pixels to the method's tensors and back: the working size, the drag on grids, the final composite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dragflow.core.arrays import Pixels, Window
from dragflow.core.config import EditConfig
from dragflow.core.motion import seen_from
from dragflow.core.task import DragTask, ResolvedOperation
from dragflow.files.deep import in_sixteen_bits
from dragflow.method.backbone import BackboneSpec, Image
from dragflow.method.supervision.region import Stretch, Stretched
from dragflow.ops import geometry, masks
from dragflow.pixels.elastic import Elastic
from dragflow.pixels.masks import feather, landing, nearness

Levels = TypeVar("Levels", np.uint8, np.uint16)
"""Of 8 or of 16 bits a channel; what is computed is rounded to them."""


def model_size(spec: BackboneSpec, size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """(h, w) at which a model works on a picture of (h, w).

    A model with sizes of its own gets the one whose aspect is nearest, also where the picture is smaller, and scaled
    down only if `max_pixels` leaves no room for any.
    """
    if not spec.sizes:
        return working_size(size, max_pixels, spec.pixel_multiple)
    nearest = min(spec.sizes, key=lambda own: abs(size[1] / size[0] - own[1] / own[0]))
    if max_pixels >= min(h * w for h, w in spec.sizes):
        return nearest
    return working_size(nearest, max_pixels, spec.pixel_multiple)


def working_size(size: tuple[int, int], max_pixels: int, multiple: int) -> tuple[int, int]:
    """(h, w) at which the model works: scaled down to `max_pixels`, then each side floored to the multiple."""
    h, w = size
    scale = min(1.0, (max_pixels / (h * w)) ** 0.5)
    return max(multiple, int(h * scale) // multiple * multiple), max(multiple, int(w * scale) // multiple * multiple)


def shown(picture: NDArray[Levels], window: Window | None) -> NDArray[Levels]:
    """What a window shows of a picture; all of it if there is none."""
    if window is None:
        return picture
    left, top, right, bottom = window
    return picture[top:bottom, left:right]


def cropped(task: DragTask, window: Window | None) -> DragTask:
    """The task on what a window shows: a smaller picture, with the same things to be done; itself if there is none."""
    if window is None:
        return task
    left, top, right, bottom = window
    seen = (slice(top, bottom), slice(left, right))
    operations = tuple(
        replace(
            op,
            mask=op.mask[seen],
            motion=seen_from(op.motion, (left, top)),
            handle=(op.handle[0] - left, op.handle[1] - top),
            joint=None if op.joint is None else op.joint[seen],
            front=None if op.front is None else op.front[seen],
        )
        for op in task.operations
    )
    return replace(task, image=task.image[seen], operations=operations, area=task.area[seen])


def overview(picture: Pixels, window: Window | None, decoded: Image) -> Pixels:
    """A decoded image in its place in the picture, as small as keeps the whole at about the size of the image."""
    if window is None:
        return as_pixels(decoded)
    h, w = picture.shape[:2]
    scale = min(1.0, math.sqrt(decoded.shape[-2] * decoded.shape[-1] / (h * w)))
    around = as_pixels(as_image(picture, (max(1, round(h * scale)), max(1, round(w * scale)))))
    left, top, right, bottom = (round(edge * scale) for edge in window)
    place = (left, top, max(left + 1, right), max(top + 1, bottom))
    return pasted(around, place, as_pixels(as_size(decoded, (place[3] - top, place[2] - left))))


def pasted(picture: NDArray[Levels], window: Window | None, seen: NDArray[Levels]) -> NDArray[Levels]:
    """A picture with what a window shows; what is seen alone if there is no window."""
    if window is None:
        return seen
    left, top, right, bottom = window
    result = picture.copy()
    result[top:bottom, left:right] = seen
    return result


_REDRAWN, _NEIGHBOURHOOD = 0.1, 3
"""Difference (of 1) from which the model counts as having redrawn a place, and the radius in working pixels over which
it is averaged."""


def composite(task: DragTask, decoded: Image, config: EditConfig, source: NDArray[Levels]) -> NDArray[Levels]:
    """B~ decoded + (1 - B~) source, B~ feathered inside B: outside of B the source's own bytes (method Sec. 7).

    Where an operation changes its source, and at its target, B~ is 1 up to the rim of B: the rectangle of App. D.2
    touches the regions, and fading to the source there would leave a rim of the old object behind.
    """
    edited = in_levels(as_size(decoded, (source.shape[0], source.shape[1])), source)
    if not config.area.composite:
        return edited
    weight = _share(task, config)
    blended = np.rint(weight * edited + (1 - weight) * source).astype(source.dtype)
    return np.where(task.area[..., None], blended, source)


def with_change(
    task: DragTask, preview: NDArray[Levels], change: Float[Tensor, "1 3 h w"], config: EditConfig
) -> NDArray[Levels]:
    """The pixel preview (H, W, 3) with a change of the model's, at its working size, that fades at the rim of B."""
    most = np.iinfo(preview.dtype).max
    full = F.interpolate(change, size=preview.shape[:2], mode="bicubic", antialias=True, align_corners=False)
    added = _share(task, config) * full[0].permute(1, 2, 0).cpu().numpy() * most
    changed = np.rint(np.clip(preview + added, 0, most)).astype(preview.dtype)
    return np.where(task.area[..., None], changed, preview)


def _share(task: DragTask, config: EditConfig) -> NDArray[np.float32]:
    """B~ (H, W, 1)."""
    sources = [op.mask for op in task.operations if not op.stays]
    touched = np.logical_or.reduce([*sources, *map(landing, task.operations)])
    fade = config.area.feather
    return np.maximum(feather(task.area, fade), nearness(touched, fade))[..., None]


def with_detail(decoded: Image, round_trip: Image, preview: Image) -> Image:
    """The decoded picture at the preview's size, with the detail that encoding lost where the model kept the preview.

    decoded + w (preview - round_trip), w = exp(-(d / d0)^2), where d is the local difference of decoded and round_trip.

    Args:
        decoded: the edit, at the working size.
        round_trip: the preview, encoded and decoded, at the working size.
        preview: the pixel preview itself, at any size.
    """
    size = (preview.shape[-2], preview.shape[-1])
    difference = (decoded - round_trip).abs().mean(dim=1, keepdim=True)
    difference = F.avg_pool2d(difference, 2 * _NEIGHBOURHOOD + 1, 1, _NEIGHBOURHOOD, count_include_pad=False)
    kept = as_size(torch.exp(-((difference / _REDRAWN) ** 2)), size)
    lost = preview.to(decoded) - as_size(round_trip, size)
    return (as_size(decoded, size) + kept * lost).clamp(0, 1)


def as_size(image: Image, size: tuple[int, int]) -> Image:
    """An image tensor at another size (h, w)."""
    if (image.shape[-2], image.shape[-1]) == size:
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def cell_map(
    task: DragTask, regions: Sequence[torch.Tensor], grid: tuple[int, int], warp: Elastic | None
) -> geometry.CellMap:
    """The whole drag on one grid: what stretches, and over it what is cut out, operation after operation."""
    size = (task.area.shape[0], task.area.shape[1])
    pairs = zip(regions, task.operations, strict=True)
    cut = [(masks.covered_cells(masks.coverage(region, grid)), op) for region, op in pairs if op.is_cut]
    cells = geometry.identity_map(grid, regions[0])
    if warp is not None:
        hole = torch.stack([cells.vacated, *(covered for covered, op in cut if op.leaves)]).any(dim=0)
        field = torch.from_numpy(warp.displacement(exact=warp.whole))
        cells = geometry.stretched_cells(geometry.field_points(field, grid), hole)
    for covered, op in cut:
        if op.lands:
            matrix = geometry.to_grid(op.matrix(), size, grid)
            cells = geometry.move_cells(cells, covered, matrix, leaves=op.leaves)
        else:
            cells = geometry.remove_cells(cells, covered)
    return cells


def stretch(warp: Elastic | None, part: ResolvedOperation, device: torch.device) -> Stretch | None:
    """How the picture around a part stretches, as the method takes it; None where nothing does."""
    if warp is None or part not in warp.parts:
        return None
    index = warp.parts.index(part)

    def at(progress: float) -> Stretched:
        field, weight = warp.displacement(progress), warp.weights(progress)[index]
        return Stretched(torch.from_numpy(field).to(device), torch.from_numpy(weight).to(device))

    return at


def as_seen(pixels: Pixels, spec: BackboneSpec, max_pixels: int) -> Image:
    """Pixels (H, W, 3) as an image tensor of the size at which a model works."""
    return as_image(pixels, model_size(spec, (pixels.shape[0], pixels.shape[1]), max_pixels))


def as_image(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    """Pixels (H, W, 3) as an image tensor of `size` (h, w)."""
    return as_size(torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255, size)


def as_pixels(image: Image) -> NDArray[np.uint8]:
    """An image tensor as pixels (H, W, 3)."""
    return in_levels(image, np.empty(0, np.uint8))


def in_levels(image: Image, like: NDArray[Levels]) -> NDArray[Levels]:
    """An image tensor as pixels (H, W, 3) of as many bits as another picture."""
    most = np.iinfo(like.dtype).max
    return (image[0].permute(1, 2, 0) * most).round().cpu().numpy().astype(like.dtype)


def deepened(preview: Pixels, seen: Pixels, source: NDArray[Levels]) -> NDArray[Levels]:
    """A pixel preview (H, W, 3) in as many bits as the source: the source's own, where the preview shows it unmoved.

    Args:
        preview: in 8 bits.
        seen: the source in 8 bits, from which that was drawn.
        source: the same in 8 or 16.
    """
    if source.dtype == np.uint8:
        return preview.astype(source.dtype, copy=False)
    unmoved = (preview == seen).all(axis=2, keepdims=True)
    return np.where(unmoved, source, in_sixteen_bits(preview)).astype(source.dtype, copy=False)
