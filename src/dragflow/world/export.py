"""Drag cases as ReD Bench folders, with the true target and the world's own, fuller description in addition."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dragflow.core.errors import UserError
from dragflow.world.cases import STILL_KINDS, DragCase, centroid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABELS = {"translate": "relocation", "rotate": "rotation", "scale": "deformation", "affine": "deformation"}
"""ReD Bench has neither scalings nor affine motions; a deformation of the centroid comes closest."""


def export_case(case: DragCase, folder: Path | str) -> Path:
    """Write one case into `folder` and return it.

    Raises:
        UserError: a copy or a removal, for which ReD Bench has no task.
    """
    if case.kind in STILL_KINDS:
        raise UserError(f"a {case.kind} cannot be exported: ReD Bench has no task for it")
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    _save(path / "original_image.png", case.source)
    _save(path / "target_image.png", case.target)
    for name, mask in (("operation", case.mask), ("mask", case.area), ("target_mask", case.target_mask)):
        _save(path / f"{name}.png", mask.astype(np.uint8) * 255)
    (path / "instruction.json").write_text(json.dumps(_instruction(case), indent=1) + "\n")
    (path / "world.json").write_text(json.dumps(_world(case), indent=1) + "\n")
    return path


def export_cases(cases: Iterable[DragCase], folder: Path | str) -> list[Path]:
    """Write a benchmark folder, one numbered folder per case."""
    return [export_case(case, Path(folder) / f"{i:04d}") for i, case in enumerate(cases)]


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, optimize=False)


def _instruction(case: DragCase) -> dict[str, object]:
    begin = centroid(case.mask)
    end = case.motion.apply(begin)
    operation = {
        "task": _LABELS[case.motion.type],
        "centroids": [list(begin), list(end)],
        "anchors": list(case.motion.about) if case.motion.type == "rotate" and case.motion.about else None,
    }
    return {
        "region_operations": {"0": operation},
        "point_operations": {"begin_points": [list(begin)], "target_points": [list(end)]},
        "background_prompt": case.caption,
        "editing_prompt": case.edit,
    }


def _world(case: DragCase) -> dict[str, object]:
    return {
        "seed": case.seed,
        "kind": case.kind,
        "object": case.scene.things[case.index].name,
        "motion": {name: value for name, value in asdict(case.motion).items() if value is not None},
        "context": asdict(case.context),
        "caption": case.caption,
        "edit": case.edit,
    }
