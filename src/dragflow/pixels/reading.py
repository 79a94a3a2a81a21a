"""Painted masks: which pixels of a picture are its region, by evidence; or a sentence that says what it looks like.

A region is what is painted in one colour on black or on transparency, at any strength and depth. Everything else is
refused, unless the person has said `mask.invert` or `mask.label`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask
from dragflow.core.errors import UserError
from dragflow.core.task import MaskArray
from dragflow.pixels import levels
from dragflow.pixels.levels import Levels

Label = int | str
_BLACK = 0.25
"""Share of the paint's brightest channel up to which a background counts as black."""
_RIM = 0.75
"""Share of the picture's outermost pixels from which a region looks like a background."""
GIVE = "give a picture of its size that is white in the region and black elsewhere"


@dataclass(frozen=True, eq=False)
class Painting:
    """A mask as it was painted, before it is decided what its region is."""

    values: NDArray[Any]
    """(H, W) brightness or labels, or (H, W, 3) colours, of any number type."""
    alpha: NDArray[Any] | None = None
    """(H, W), or None if nothing is transparent."""
    indices: NDArray[Any] | None = None
    """(H, W), the indices of a picture with a palette: its labels."""


_LARGEST = 1e9
"""Of a painted value, and of its inverse: the square of more is lost in single precision."""


def read(painting: Painting, name: str, invert: bool | None = None, label: Label | None = None) -> Mask:
    """The region of a painting, (H, W).

    Args:
        painting: what was painted.
        name: what errors call it.
        invert: whether the region is what is not painted; None if nobody has said so.
        label: the one value (or colour, as "#ff0000") that is the region.

    Raises:
        UserError: it has no region, or more than one reading; the text says what it looks like and how to give it.
    """
    painting = _checked(painting, name)
    mask = _painted(painting, name, invert) if label is None else _labelled(painting, name, label)
    return ~mask if invert else mask


def read_array(region: MaskArray, name: str = "array") -> Mask:
    """The region of an array: (H, W), or as a picture (H, W, 3) or (H, W, 4); see `read`.

    Raises:
        UserError: another shape or type; see `read`.
    """
    name = region.name or name
    array = np.asarray(region.array)
    if array.dtype.kind not in "buif":
        raise UserError(f"mask {name} has the type {array.dtype}: give numbers, or True and False")
    if array.ndim == 2 and array.dtype == np.bool_ and region.label is None:
        return ~array if region.invert else array
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        shape = " x ".join(str(side) for side in array.shape)
        raise UserError(f"mask {name} is an array of {shape}: give one mask, height x width (of a stack, choose one)")
    alpha = array[..., 3] if array.ndim == 3 and array.shape[2] == 4 else None
    painting = Painting(array if alpha is None else array[..., :3], alpha)
    return read(painting, name, region.invert, region.label)


def covers_most(mask: Mask) -> str | None:
    """How much of the picture a region covers, if it looks as though everything else were meant; else None."""
    share = float(mask.mean())
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if share > 0.5:
        return f"covers {_percent(share)} of the picture"
    return f"holds {_percent(float(rim.mean()))} of the picture's rim" if rim.mean() > _RIM else None


def check_cover(mask: Mask, name: str) -> None:
    """Refuse a region of an operation that looks inverted; who has said `mask.invert` need not ask.

    Raises:
        UserError: it covers most of the picture or of its rim.
    """
    if not mask.all() and (cover := covers_most(mask)):
        raise UserError(
            f"mask {name} {cover}: is it inverted? Set `mask.invert` to true to move what is not painted, "
            "or to false if it is meant as it is"
        )


def _checked(painting: Painting, name: str) -> Painting:
    """A painting in numbers that can be compared, its colours as one number where they are grey."""
    values = painting.values
    if values.size == 0:
        raise UserError(f"mask {name} has no pixels: {GIVE}")
    brightest = float(np.abs(values).max()) if values.dtype.kind == "f" else 1.0
    if not (brightest == 0 or 1 / _LARGEST < brightest < _LARGEST):
        raise UserError(f"mask {name} holds values that are not finite, or absurdly large or small: give 0 and 1")
    if values.dtype.kind in "if" and values.min() < 0:
        raise UserError(
            f"mask {name} holds values from {values.min():g} to {values.max():g}: paint has no values below 0; "
            "threshold it first, as in `array > 0`"
        )
    if values.ndim == 3 and np.array_equal(values[..., 0], values[..., 1]):
        values = values[..., 0] if np.array_equal(values[..., 0], values[..., 2]) else values
    alpha = painting.alpha
    if alpha is not None and alpha.min() == alpha.max():
        if not alpha.max():
            raise UserError(f"mask {name} is wholly transparent: {GIVE}")
        alpha = None
    return Painting(values, alpha, painting.indices)


def _painted(painting: Painting, name: str, invert: bool | None) -> Mask:
    if painting.alpha is None:
        return _by_levels(levels.find(painting.values, painting.indices), painting.values, name, invert)
    opaque = painting.alpha > painting.alpha.max() / 2
    alpha = levels.find(painting.alpha)
    if levels.one_colour(painting.values[opaque]):  # painted in one colour on transparency
        dark = painting.values[opaque].max() == 0
        if dark and invert is None and levels.one_colour(painting.values[~opaque]) and painting.values[~opaque].any():
            raise UserError(
                f"mask {name} contradicts itself: it is black where it is opaque and bright where it is transparent; "
                "set `mask.invert` to false to take what is opaque, or to true to take what is transparent"
            )
        return _by_levels(alpha, painting.alpha, name, invert)
    seen = levels.over_black(painting.values, painting.alpha)
    found = levels.find(seen, painting.indices)
    if found.kind != "shades":
        return _by_levels(found, seen, name, invert)
    if invert is None:
        clear = _percent(1 - float(opaque.mean()))
        raise UserError(
            f"mask {name} looks like a photograph of which {clear} is transparent; which part is meant cannot be told: "
            "set `mask.invert` to true to take what is transparent (as ComfyUI saves a mask), or to false to take what "
            "is opaque (a cut-out)"
        )
    return _by_levels(alpha, painting.alpha, name, invert)


def _by_levels(found: Levels, values: NDArray[Any], name: str, invert: bool | None) -> Mask:
    """The brighter of two levels; or a sentence about what is there instead."""
    if found.kind == "one":
        if not values.max():
            raise UserError(f"mask {name} is empty: its brightest value is 0; {GIVE}")
        return np.ones(values.shape[:2], dtype=np.bool_)
    if found.kind == "labels":
        raise UserError(f"mask {name} holds {_listed(found)}: choose one with `mask.label`, or {GIVE}")
    if found.region is not None:
        dark, bright = found.levels
        if invert is None and dark.colour.max() > _BLACK * bright.colour.max():
            raise UserError(
                f"mask {name} is painted in {bright.text} ({_percent(bright.share)}) and {dark.text} "
                f"({_percent(dark.share)}), neither of them black: set `mask.invert` to false to take the brighter, to "
                "true to take the darker"
            )
        return found.region
    raise UserError(f"mask {name} {_unclear(found, values)}, or {GIVE}")


def _unclear(found: Levels, values: NDArray[Any]) -> str:
    """What a picture looks like that is not one region on a background, and what to do with it."""
    if found.kind == "soft":
        return "has so soft an edge, or shades so wide, that its region is not certain: paint it with a hard brush"
    if found.kind == "weak":
        return (
            f"is compressed so much, or painted so weakly (brightest value {values.max():g}), that its edge is lost: "
            "save it as PNG"
        )
    if found.levels:
        over = found.levels[0]
        return (
            f"looks like a photograph, with {over.text} painted over {_percent(over.share)} of it: set `mask.label` to "
            f'"{over.text}" to take exactly that colour'
        )
    return (
        f"looks like a photograph or a drawing with shades (brightest value {values.max():g}), not like a mask: "
        "export the layer with the paint alone"
    )


def _labelled(painting: Painting, name: str, label: Label) -> Mask:
    """The pixels of one level, which is called by its value or colour (or by its index, of a palette)."""
    values = painting.values if painting.alpha is None else levels.over_black(painting.values, painting.alpha)
    found = levels.find(values, painting.indices)
    if found.kind in ("soft", "weak") or (found.kind == "shades" and not found.levels):
        raise UserError(f"mask {name} {_unclear(found, values)}, or {GIVE}")
    mask = levels.pick(found, str(label).lower(), values if painting.indices is None else painting.indices)
    if mask is None:
        raise UserError(f"mask {name} has no label {str(label)[:20]!r}: it holds {_listed(found)}")
    if found.kind == "labels" and levels.frayed(mask, values):
        raise UserError(f"mask {name}: the edges of label {label} are soft or compressed: save it as PNG, or {GIVE}")
    return mask


def _listed(found: Levels) -> str:
    """The levels in words, the largest first."""
    shown = [f"{level.text} ({_percent(level.share)})" for level in found.levels]
    more = f" and {found.count - len(shown)} more" if found.count > len(shown) else ""
    return f"{found.count} label{'s' if found.count > 1 else ''}: {', '.join(shown)}{more}"


def _percent(share: float) -> str:
    """A share in percent, to two figures where it is small."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
