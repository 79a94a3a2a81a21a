"""DragBench of DragDiffusion (Shi et al. 2024): a picture, and a pickle with prompt, point pairs and editable mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from dragflow.bench.data.parts import Alternating, Kind, Place, alternating, checked_mask, point_sample, require
from dragflow.bench.data.pickles import Plain, read_pickle
from dragflow.bench.data.points import RegionRule
from dragflow.bench.sample import Sample
from dragflow.core.arrays import Mask, Point
from dragflow.core.errors import UserError
from dragflow.files import schema
from dragflow.files.pictures import load_image
from dragflow.files.schema import Strict

IMAGE, META = "original_image.png", "meta_data.pkl"


class MetaFile(Strict):
    """A meta file without its mask."""

    prompt: str
    points: Alternating


@dataclass(frozen=True, eq=False)
class Meta:
    """A meta file, checked against its picture."""

    prompt: str
    begins: tuple[Point, ...]
    targets: tuple[Point, ...]
    mask: Mask


def load(place: Place, rule: RegionRule) -> Sample:
    """Read one sample.

    Raises:
        UserError: what is wrong with it.
    """
    require(place.folder, IMAGE, META)
    image = load_image(place.folder / IMAGE)
    meta = read_meta(place.folder / META, image.size)
    return point_sample(place, rule, image, (meta.begins, meta.targets), meta.mask, meta.prompt)


KIND = Kind("DragBench", META, lambda files: META in files, load)


def read_meta(path: Path, size: tuple[int, int]) -> Meta:
    """A pickled meta file: `prompt`, `points` (handles and targets alternate), `mask` (1 = editable).

    Raises:
        UserError: damaged, with other keys, or not matching the picture of `size` (h, w).
    """
    given = read_pickle(path)
    mask = _mask(given.pop("mask", None), size, f"{path}: mask")
    plain = {key: _listed(value) for key, value in given.items()}
    meta = schema.parse(TypeAdapter(MetaFile), plain, str(path))
    return Meta(meta.prompt, *alternating(meta.points, size, f"{path}: points"), mask)


def _mask(value: Plain | None, size: tuple[int, int], name: str) -> Mask:
    if not isinstance(value, np.ndarray):
        raise UserError(f"{name} is {'missing' if value is None else 'not an array'}: it must be an array of 0 and 1")
    values = np.unique(value).tolist()
    if not (set(values) <= {0, 1} or set(values) <= {0, 255}):
        raise UserError(f"{name} has the values {values[:3]}: it must hold 0 and 1, where 1 is editable")
    return checked_mask(value != 0, size, name)


def _listed(value: Plain) -> object:
    """The value with every array in it turned into a list."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_listed(each) for each in value] if isinstance(value, list) else value
