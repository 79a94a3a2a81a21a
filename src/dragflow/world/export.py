"""Writes drag cases as ReD Bench folders, with the true target and the world's own fuller description beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from dragflow.world.cases import DragCase, centroid

# ReD Bench knows no scale and no affine motion; a deformation of the centroid is the nearest it can say.
_LABELS = {"translate": "relocation", "rotate": "rotation", "scale": "deformation", "affine": "deformation"}


def export_case(case: DragCase, folder: Path | str) -> Path:
    """Writes one case into `folder` and returns it."""
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
    """Writes a benchmark folder, one numbered folder per case."""
    return [export_case(case, Path(folder) / f"{i:04d}") for i, case in enumerate(cases)]


def _save(path: Path, pixels: np.ndarray) -> None:
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
    m = case.motion
    motion: dict[str, object] = {"type": m.type, "matrix": [list(row) for row in m.matrix]}
    if m.type == "translate":
        motion["to"] = list(m.apply(centroid(case.mask)))
    if m.about is not None:
        motion["about"] = list(m.about)
    if m.degrees is not None:
        motion["degrees"] = m.degrees
    if m.factor is not None:
        motion["factor"] = m.factor
    return {
        "seed": case.seed,
        "kind": case.kind,
        "object": case.scene.things[case.index].name,
        "motion": motion,
        "context": asdict(case.context),
        "caption": case.caption,
        "edit": case.edit,
    }
