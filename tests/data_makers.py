"""Writes samples of every format as the data sets have them; each function gives the sample's folder."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (60, 80)
PAIR = [[20, 30], [40, 30]]


def picture(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def box(left: int = 10, top: int = 20, right: int = 49, bottom: int = 39) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def save(path: Path, pixels: NDArray[Any]) -> None:
    Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels).save(path)


def new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def drag100(folder: Path, points: Any = PAIR) -> Path:
    save(new(folder) / "original.jpg", picture())
    save(folder / "mask.png", box())
    (folder / "points.json").write_text(json.dumps({"points": points}))
    return folder


def vfd(folder: Path, points: Any = PAIR) -> Path:
    save(new(folder) / "input.png", picture())
    save(folder / "gt.png", picture(1))
    save(folder / "mask.png", box())
    (folder / "points.json").write_text(json.dumps({"points": points}))
    (folder / "prompt.json").write_text(json.dumps({"prompt": "a deer"}))
    return folder


def dragbench(folder: Path, protocol: int = 4, **changes: Any) -> Path:
    save(new(folder) / "original_image.png", picture())
    meta = {"prompt": "a shoe", "points": PAIR, "mask": box().astype(np.uint8)} | changes
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta, protocol))
    return folder


def regiondrag(folder: Path, begins: NDArray[np.int64], targets: NDArray[np.int64], **changes: Any) -> Path:
    """Dense pairs (n, 2), told as their authors' tool writes them: a list of points, protocol 5."""
    save(new(folder) / "original_image.png", picture())
    points = [tuple(point) for pair in zip(begins.tolist(), targets.tolist(), strict=True) for point in pair]
    meta = {"prompt": "a shoe", "points": points, "mask": box(5, 5, 74, 54).astype(np.uint8)} | changes
    (folder / "meta_data_region.pkl").write_bytes(pickle.dumps(meta, 5))
    return folder


def sdedrag(folder: Path, **changes: Any) -> Path:
    save(new(folder) / "origin_image.png", picture())
    save(folder / "mask.png", box())
    asked = {"prompt": "a cup", "source": [PAIR[0]], "target": [PAIR[1]]} | changes
    (folder / "prompt.json").write_text(json.dumps(asked))
    return folder


def redbench(folder: Path, **changes: Any) -> Path:
    save(new(folder) / "original_image.png", picture())
    save(folder / "operation.png", box(15, 25, 25, 35))
    operation = {"task": "relocation", "centroids": PAIR, "anchors": None}
    told = {"region_operations": {"0": operation}, "background_prompt": "a cat", "editing_prompt": "it sits"} | changes
    (folder / "instruction.json").write_text(json.dumps(told))
    return folder
