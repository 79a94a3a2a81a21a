"""The levels of a painted picture: how many flat values it has, and whether its edges leave no doubt about a region."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dragflow.core.arrays import Mask

_LIGHT = np.array([0.299, 0.587, 0.114])
_MOST_LABELS = 4096
_BINNED = 2**24
"""Codes below this are counted by bins; larger ones are sorted."""
_FEWEST_FLAT = 9
"""Pixels amid others of their value that make a value a level, not an edge; or this share of what is painted:"""
_FLAT_SHARE = 0.005
_EDGE_SHARE = 0.1
"""Share of what is painted up to which the pixels between labels are edges, not shades."""

# Of a picture with many values, on the scale from its background (0) to its paint (1). Measured: masks with soft or
# compressed edges have 0.97 and more of their background within 0.06 of 0, photographs 0.45 and less.
_NEAR = 0.06
_FLAT_BACKGROUND = 0.85
_FLAT_PAINT = 0.5
_STRAY = 0.06
"""Share of the paint that may be of a third colour or beyond both (compression does this along edges)."""
_HALO, _CORE = 0.78, 0.74
"""Least shares region / (all that is over 0.15) and (all that is over 0.85) / region: else the edge is too soft."""
_BETWEEN = 0.3
"""Share of the paint that may lie half-way in a picture that was compressed."""
_WEAKEST = 20 / 255
"""Contrast of lightness below which the steps of JPEG are coarser than what was painted."""


@dataclass(frozen=True, eq=False)
class Level:
    """A flat value of a picture."""

    colour: NDArray[np.float64]
    """(1,) or (3,)."""
    text: str
    """What it is called, as a label and in sentences."""
    share: float
    """Of the picture's pixels."""

    @property
    def light(self) -> float:
        """How light it looks."""
        return float(self.colour @ _LIGHT if len(self.colour) == 3 else self.colour[0])


@dataclass(frozen=True, eq=False)
class Levels:
    """What a picture consists of."""

    kind: Literal["one", "two", "labels", "shades", "soft", "weak"]
    levels: tuple[Level, ...] = ()
    """Of two: the darker, then the brighter. Of labels: the largest six. Of shades: a colour painted over them."""
    count: int = 0
    """How many there are."""
    region: Mask | None = None
    """Of two: the pixels that are nearer to the brighter one."""


def find(values: NDArray[Any], indices: NDArray[Any] | None = None) -> Levels:
    """The levels of (H, W) numbers or (H, W, 3) colours; labels are called by their indices, where there are any."""
    coded = codes(values)
    if coded is None:
        return Levels("one") if values.min() == values.max() else _shaded(values)
    counts = _counts(coded)
    if len(counts) <= 2:
        both = sorted((_level(code, values, coded, indices) for code in counts), key=lambda level: level.light)
        bright = np.all(values.reshape(*coded.shape, -1) == both[-1].colour, axis=-1)
        return Levels("one" if len(counts) == 1 else "two", tuple(both), len(counts), bright)
    labels = _labels(values, coded, counts) if len(counts) <= _MOST_LABELS else []
    if labels:
        return Levels("labels", tuple(_level(code, values, coded, indices) for code in labels[:6]), len(labels))
    shaded = _shaded(values)
    if shaded.kind != "shades" or values.ndim == 2:
        return shaded
    over = _painted_over(values, coded)
    return Levels("shades", over, len(over))


def pick(found: Levels, label: str, named: NDArray[Any]) -> Mask | None:
    """The pixels of one level by what it is called; `named` holds what labels are called by. None if there is none."""
    texts = [level.text for level in found.levels]
    if found.region is not None:
        return None if label not in texts else found.region if label == texts[-1] else ~found.region
    code = _code_of(label, colours=named.ndim == 3)
    coded = codes(named)
    if code is None or coded is None or (found.kind == "shades" and label not in texts):
        return None
    mask = coded == code
    return mask if mask.any() else None


def frayed(mask: Mask, values: NDArray[Any]) -> bool:
    """Whether so many pixels along one label have a value of no label that the edge of its region is unclear."""
    coded = codes(values)
    if coded is None:
        return True
    flat = np.zeros(mask.shape, dtype=np.bool_)
    flat[1:-1, 1:-1] = _flat(coded)
    edge = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_) & ~mask
    strange = ~np.isin(coded[edge], np.unique(coded[flat]))
    return int(strange.sum()) > _STRAY * int(mask.sum())


def codes(values: NDArray[Any]) -> NDArray[Any] | None:
    """One whole number a pixel (of a colour, as in #rrggbb); None where values are fractions or too deep."""
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            return None
        values = values.astype(np.int64)
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == np.bool_ else values
    if values.max() > 255:
        return None
    red, green, blue = (values[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _code_of(label: str, *, colours: bool) -> int | None:
    if colours:
        return int(label[1:], 16) if re.fullmatch(r"#[0-9a-f]{6}", label) else None
    return int(label) if re.fullmatch(r"[0-9]{1,18}", label) else None


def one_colour(pixels: NDArray[Any]) -> bool:
    """Whether pixels (N,) or (N, 3) have one colour, but for a few."""
    if not len(pixels):
        return False
    rows = pixels.reshape(len(pixels), -1).astype(np.float32)
    away = np.abs(rows - np.median(rows, axis=0)).max(axis=1)
    return float((away > 0.1 * _full(pixels)).mean()) <= 0.02


def over_black(values: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """What is seen of a picture that is laid on black."""
    weight = alpha.astype(np.float32) / float(alpha.max())
    seen = values.astype(np.float32) * (weight if values.ndim == 2 else weight[..., None])
    return seen if values.dtype.kind == "f" else np.rint(seen).astype(values.dtype)


def _counts(coded: NDArray[Any]) -> dict[int, int]:
    """Pixels of each code, the most frequent first."""
    if not coded.size:
        return {}
    if coded.max() < min(_BINNED, 4 * coded.size):  # sorting is faster than bins where these are many
        bins = np.bincount(coded.ravel())
        found = np.flatnonzero(bins)
        counts = bins[found]
    else:
        found, counts = np.unique(coded, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return dict(zip(found[order].tolist(), counts[order].tolist(), strict=True))


def _level(code: int, values: NDArray[Any], coded: NDArray[Any], indices: NDArray[Any] | None) -> Level:
    places = coded == code
    first = int(places.argmax())
    colour = np.atleast_1d(values.reshape(coded.size, -1)[first].astype(np.float64))
    text = _text(colour) if indices is None else str(int(indices.ravel()[first]))
    return Level(colour, text, float(places.mean()))


def _text(colour: NDArray[np.float64]) -> str:
    if len(colour) == 3:
        return "#" + "".join(f"{round(channel):02x}" for channel in colour)
    return str(int(colour[0])) if colour[0].is_integer() else f"{colour[0]:g}"


def _labels(values: NDArray[Any], coded: NDArray[Any], counts: dict[int, int]) -> list[int]:
    """The codes of a picture of three labels or more with hard edges; none if it is not one."""
    painted = coded.size - next(iter(counts.values()))
    needed = max(_FEWEST_FLAT, _FLAT_SHARE * painted)
    flat = _counts(coded[1:-1, 1:-1][_flat(coded)])
    found = [code for code in counts if flat.get(code, 0) >= needed]
    edges = coded.size - sum(counts[code] for code in found)
    if len(found) < 3 or edges > _EDGE_SHARE * painted:
        return []
    # Compression splits one level into two that are almost equal, and leaves many other values around them.
    few = len(counts) <= 2 * len(found) + 3
    return found if few or _apart(found, values.ndim == 3, _full(values)) else []


def _apart(found: list[int], colours: bool, full: float) -> bool:
    """Whether no two of these codes are almost the same number or colour."""
    shifts = (16, 8, 0) if colours else (0,)
    channels = np.array([[code >> shift & 255 if colours else code for shift in shifts] for code in found]) / full
    between = np.abs(channels[:, None] - channels[None]).max(axis=-1)
    return float(between[~np.eye(len(found), dtype=np.bool_)].min()) > _NEAR


def _flat(coded: NDArray[Any]) -> Mask:
    """Which pixels have the code of all their eight neighbours; (H - 2, W - 2), without the rim."""
    row = (coded[:, :-2] == coded[:, 1:-1]) & (coded[:, 2:] == coded[:, 1:-1])
    middle = coded[1:-1, 1:-1]
    same = (coded[:-2, 1:-1] == middle) & (coded[2:, 1:-1] == middle)
    return same & row[:-2] & row[1:-1] & row[2:]


def _painted_over(values: NDArray[Any], coded: NDArray[Any]) -> tuple[Level, ...]:
    """The flat, strong colour that somebody painted over a photograph, if there is one."""
    for code, count in list(_counts(coded[1:-1, 1:-1][_flat(coded)]).items())[:3]:
        channels = np.array([code >> 16, code >> 8 & 255, code & 255])
        if count > _FLAT_SHARE * coded.size and np.ptp(channels) > _full(values) / 2:
            return (_level(code, values, coded, None),)
    return ()


def _shaded(values: NDArray[Any]) -> Levels:
    """What a picture of many values is: a region with soft or compressed edges on a flat background, or shades."""
    full = _full(values)
    planes = [values] if values.ndim == 2 else [values[..., channel] for channel in range(3)]
    scaled = [plane.astype(np.float32) / np.float32(full) for plane in planes]
    base, paint = _ends(scaled)
    dark, bright = sorted((base, paint), key=lambda colour: Level(colour, "", 0).light)
    span = bright - dark
    along, length = list(zip(scaled, dark.tolist(), span.tolist(), strict=True)), float(span @ span)
    strength = reduce(np.add, ((plane - d) * (v / length) for plane, d, v in along))
    line = np.clip(strength, 0, 1)
    away = reduce(np.maximum, (np.abs(plane - d - line * v) for plane, d, v in along))
    region = strength > 0.4999
    kind = _doubt(strength if region.mean() <= 0.5 else 1 - strength, away / float(np.abs(span).max()))
    if kind == "two" and _blurred(scaled, dark, bright, strength, full):
        kind = "weak"
    share = float(region.mean())
    levels = [Level(colour * full, _text(colour * full), part) for colour, part in ((dark, 1 - share), (bright, share))]
    return Levels(kind, tuple(levels), 2, region) if kind == "two" else Levels(kind)


def _blurred(
    scaled: list[NDArray[np.float32]],
    dark: NDArray[np.float64],
    bright: NDArray[np.float64],
    strength: NDArray[np.float32],
    full: float,
) -> bool:
    """Whether compression, which overshoots its colours, left too little contrast or too much between them."""
    low, high = np.minimum(dark, bright) - 0.6 / full, np.maximum(dark, bright) + 0.6 / full
    if not any(((p < a) | (p > b)).any() for p, a, b in zip(scaled, low, high, strict=True)):
        return False
    paint = min(int((strength > 0.5).sum()), int((strength <= 0.5).sum()))
    between = int((np.abs(strength - 0.5) < 0.25).sum())
    return abs(Level(bright - dark, "", 0).light) < _WEAKEST or between > _BETWEEN * paint


def _ends(scaled: list[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The most frequent colour, and the median of what is farther from it than half of what is farthest."""
    step = max(1, scaled[0].size // 2**20)
    few = np.stack([plane.ravel()[::step] for plane in scaled], axis=1)
    cells = np.minimum(few / max(float(few.max()), 1e-9) * 32, 31).astype(np.int64)
    code = cells @ (32 ** np.arange(len(scaled)))
    base = np.median(few[code == np.bincount(code).argmax()], axis=0)
    far = reduce(np.maximum, (np.abs(plane - colour) for plane, colour in zip(scaled, base.tolist(), strict=True)))
    beyond = far > far.max() / 2
    return base.astype(np.float64), np.array([np.median(plane[beyond]) for plane in scaled], dtype=np.float64)


def _doubt(strength: NDArray[np.float32], away: NDArray[np.float32]) -> Literal["two", "soft", "shades"]:
    """Whether the smaller side (strength over a half) is one region beyond doubt; see the limits above."""
    paint = int((strength > 0.5).sum())
    stray = int((away > 0.3).sum()), int((np.abs(strength - 0.5) > 0.8).sum())
    flat = int((np.abs(strength) < _NEAR).sum()) / (strength.size - paint)
    solid = int((np.abs(strength - 1) < _NEAR).sum())
    if flat < _FLAT_BACKGROUND or max(stray) > _STRAY * paint:
        return "shades"
    if paint < _HALO * int((strength > 0.15).sum()) or int((strength > 0.85).sum()) < _CORE * paint:
        return "soft"
    return "two" if solid >= _FLAT_PAINT * paint else "shades"


def _full(values: NDArray[Any]) -> float:
    """What counts as full brightness: of the type, or of the least usual range that holds the brightest value."""
    if values.dtype == np.uint8 or values.dtype == np.uint16:
        return float(np.iinfo(values.dtype).max)
    top = float(values.max())
    return next((full for full in (1.0, 255.0, 65535.0) if top <= full), top)
