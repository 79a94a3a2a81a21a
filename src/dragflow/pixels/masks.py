"""Regions as pixel masks: rasterising, connected parts, warping, the editable area (App. D.2).

Masks are boolean arrays (H, W) on the upright source picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragflow.core.arrays import Mask, Point, Window
from dragflow.core.errors import UserError
from dragflow.core.motion import Matrix, inside
from dragflow.core.task import Box, MaskArray, Polygon, Region, ResolvedOperation
from dragflow.pixels.reading import read_array

_LARGE_DISC = 128
"""Radius in pixels from which a mask is grown by distances."""


def rasterise(region: Region, size: tuple[int, int], name: str = "region", *, whole: bool = False) -> Mask:
    """The pixels of a region on a picture of `size` (h, w); `whole` allows it to cover everything.

    Raises:
        UserError: another size than the picture's, empty, or everything; a mask that is still a file, or in doubt.
    """
    if isinstance(region, MaskArray):
        mask = _check_size(read_array(region, f"{name} array"), size, region.name or f"{name} array")
    elif isinstance(region, Box):
        mask = _box(region, size, name)
    elif isinstance(region, Polygon):
        mask = _polygon(region, size, name)
    else:
        raise UserError(f"{name} is a picture that was not read: freeze the instruction first (dragflow.files.masks)")
    if not mask.any():
        raise UserError(f"{name} is empty: it must cover at least one pixel of the picture")
    if mask.all() and not whole:
        raise UserError(f"{name} covers the whole picture: nothing would be left as background; cover a part")
    return mask


def components(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Labels (H, W) of the connected parts (8-neighbourhood), 1 to n on a background of 0; and n."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return labels.astype(np.int32), count - 1


def component_at(mask: Mask, at: Point, name: str) -> Mask:
    """The connected part that contains a point or, if none does, is nearest to it.

    Raises:
        UserError: the point is outside of the picture, or the mask is empty.
    """
    h, w = mask.shape
    if not inside(at, (h, w)):
        raise UserError(f"point {format_point(at)} of {name} is outside of the picture ({w} x {h})")
    if not mask.any():
        raise UserError(f"{name} is empty: it must cover at least one pixel of the picture")
    labels, _ = components(mask)
    return labels == label_at(labels, at)


def label_at(labels: NDArray[np.int32], at: Point) -> int:
    """The label at a point or, on background, the label of the nearest pixel that has one."""
    h, w = labels.shape
    x, y = min(max(round(at[0]), 0), w - 1), min(max(round(at[1]), 0), h - 1)
    if labels[y, x]:
        return int(labels[y, x])
    ys, xs = np.nonzero(labels)
    nearest = int(np.argmin((xs - at[0]) ** 2 + (ys - at[1]) ** 2))
    return int(labels[ys[nearest], xs[nearest]])


def centroid(mask: Mask) -> Point:
    """Mean of the pixel centres of a mask; it may be outside of a concave one."""
    ys, xs = np.nonzero(mask)
    return float(xs.mean()), float(ys.mean())


def bounds(mask: Mask) -> Window:
    """The box around all pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def format_point(point: Point) -> str:
    """A point as text, as in (12, 7.5)."""
    return f"({point[0]:g}, {point[1]:g})"


def warp_mask(mask: Mask, matrix: Matrix) -> Mask:
    """The mask carried by an affine map of pixel coordinates, by nearest neighbour; what leaves the picture is lost."""
    h, w = mask.shape
    return (
        cv2.warpAffine(mask.astype(np.uint8), np.array(matrix, dtype=np.float64), (w, h), flags=cv2.INTER_NEAREST) > 0
    )


def landing(operation: ResolvedOperation) -> Mask:
    """Where the region of an operation (H, W) goes; nowhere if it is removed."""
    return warp_mask(operation.mask, operation.matrix()) if operation.lands else np.zeros_like(operation.mask)


def shown(operation: ResolvedOperation) -> Mask:
    """The part of an operation's region (H, W) that is seen where it goes."""
    if operation.front is None:
        return operation.mask
    h, w = operation.mask.shape
    # The inverse of the map: what is in front is looked up where each pixel of the region goes.
    way = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    hidden = cv2.warpAffine(operation.front.astype(np.uint8), np.array(operation.matrix()), (w, h), flags=way) > 0
    return operation.mask & ~hidden


def editable_area(pairs: list[tuple[Mask, Mask]], margin: int = 0) -> Mask:
    """App. D.2: for each (source, target) pair the filled minimum-area rotated rectangle around both; their union.

    `margin` pixels are added on every side.
    """
    area = np.zeros(pairs[0][0].shape, dtype=np.uint8)
    for source, target in pairs:
        ys, xs = np.nonzero(source | target)
        corners = cv2.boxPoints(cv2.minAreaRect(np.stack([xs, ys], axis=1).astype(np.float32)))
        cv2.fillPoly(area, [corners.astype(np.int32)], 1)
    return dilate(area.astype(bool), margin)


def dilate(mask: Mask, pixels: int) -> Mask:
    """The mask grown by a disc of this radius."""
    if pixels <= 0:
        return mask
    if pixels > _LARGE_DISC:  # the cost of a disc grows with its area, that of distances does not
        far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return far <= pixels if mask.any() else mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def depth(region: Mask) -> NDArray[np.float32]:
    """Distance of every pixel from the rim: positive inside. The border of the picture is not a rim."""
    sides = [np.pad(side.astype(np.uint8), 1, mode="edge") for side in (region, ~region)]
    inner, outer = (np.asarray(cv2.distanceTransform(s, cv2.DIST_L2, 5), np.float32)[1:-1, 1:-1] for s in sides)
    return np.where(region, inner - 0.5, 0.5 - outer).astype(np.float32)


def window(region: Mask, margin: int) -> tuple[slice, slice]:
    """The box around a region, grown by `margin` pixels as far as the picture goes."""
    left, top, right, bottom = bounds(region)
    h, w = region.shape
    rows = slice(max(top - margin, 0), min(bottom + margin, h))
    return rows, slice(max(left - margin, 0), min(right + margin, w))


def feather(mask: Mask, pixels: float) -> NDArray[np.float32]:
    """Weights (H, W) in [0, 1]: 0 outside of the mask, rising to 1 over `pixels` from its rim inwards.

    The border of the picture is not a rim: an area that reaches it stays at 1 there.
    """
    if pixels <= 0:
        return mask.astype(np.float32)
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.clip(distance / (pixels + 1), 0, 1).astype(np.float32) * mask


def _check_size(mask: Mask, size: tuple[int, int], name: str) -> Mask:
    if mask.shape != size:
        turned = ". It was painted on the picture lying on its side: turn it as EXIF orientation shows the picture"
        raise UserError(
            f"mask {name} is {mask.shape[1]} x {mask.shape[0]}, the picture {size[1]} x {size[0]} (upright): "
            f"they must have the same size{turned if mask.shape == size[::-1] else ''}"
        )
    return mask


def _box(box: Box, size: tuple[int, int], name: str) -> Mask:
    corners = ((box.left, box.top), (box.right, box.bottom))
    _check_outline(corners, size, name)
    if box.right < box.left or box.bottom < box.top:
        raise UserError(f"{name} has its corners swapped: left <= right and top <= bottom must hold")
    ys, xs = np.mgrid[: size[0], : size[1]]
    return (xs >= box.left) & (xs <= box.right) & (ys >= box.top) & (ys <= box.bottom)


def _polygon(polygon: Polygon, size: tuple[int, int], name: str) -> Mask:
    _check_outline(polygon.points, size, name)
    mask = np.zeros(size, dtype=np.uint8)
    outline = np.rint(np.array(polygon.points) * 256).astype(np.int32)  # 8 bits of sub-pixel precision
    cv2.fillPoly(mask, [outline], 1, lineType=cv2.LINE_8, shift=8)
    return mask.astype(bool)


def _check_outline(points: tuple[Point, ...], size: tuple[int, int], name: str) -> None:
    for point in points:
        if not inside(point, size):
            raise UserError(
                f"{name} has the point {format_point(point)} outside of the picture ({size[1]} x {size[0]})"
            )


def nearness(mask: Mask, pixels: float) -> NDArray[np.float32]:
    """Weights (H, W) in [0, 1]: 1 in the mask, falling to 0 over `pixels` from its rim outwards."""
    if pixels <= 0 or not mask.any():
        return mask.astype(np.float32)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip(1 - distance / (pixels + 1), 0, 1).astype(np.float32)


def as_image(mask: Mask) -> Image.Image:
    """The mask as a black and white picture."""
    return Image.fromarray(mask.astype(np.uint8) * 255)
