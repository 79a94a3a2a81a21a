"""Pictures to train on: scenes of the world by number, and crops of scikit-image's photographs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from dragflow import world
from dragflow.core.arrays import Pixels
from dragflow.core.extras import extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEST_PHOTOGRAPHS = ("astronaut", "chelsea")
"""Held out, so that the reconstruction of photographs is measured on pictures the autoencoder never saw."""
TRAIN_PHOTOGRAPHS = (
    "coffee",
    "rocket",
    "stereo_motorcycle",
    "hubble_deep_field",
    "coins",
    "camera",
    "brick",
    "gravel",
    "grass",
)

DRAG_PHOTOGRAPHS = (*TRAIN_PHOTOGRAPHS, "retina", "immunohistochemistry", "moon", "cell")
"""What the autoencoder was trained on, and more: of the drags over photographs, the training sees crops of these."""


def scene_picture(number: int, size: int) -> Pixels:
    """Training scene `number` (size, size, 3)."""
    return world.scene(number, size).render()


@cache
def photographs(names: tuple[str, ...]) -> tuple[Pixels, ...]:
    """scikit-image's photographs of these names."""
    with extra("train", "the training of the autoencoder"):
        from skimage import data as pictures

    out: list[Pixels] = []
    for name in names:
        picture = getattr(pictures, name)()
        picture = np.asarray(picture[0] if isinstance(picture, tuple) else picture)
        out.append(np.repeat(picture[..., None], 3, -1) if picture.ndim == 2 else picture[..., :3])
    return tuple(out)


def photograph_crop(rng: np.random.Generator, size: int, names: tuple[str, ...] = TRAIN_PHOTOGRAPHS) -> Pixels:
    """A random crop (size, size, 3) of one of these photographs, shrunk, mirrored and tinted at random."""
    import cv2

    pictures = photographs(names)
    picture = pictures[int(rng.integers(len(pictures)))]
    span = int(rng.uniform(1.0, max(1.0, min(2.5, min(picture.shape[:2]) / size))) * size)
    y, x = (int(rng.integers(n - span + 1)) for n in picture.shape[:2])
    crop = cv2.resize(picture[y : y + span, x : x + span], (size, size), interpolation=cv2.INTER_AREA)
    crop = crop[:, ::-1] if rng.uniform() < 0.5 else crop
    tint = rng.uniform(0.8, 1.1, 3) if rng.uniform() < 0.5 else np.ones(3)
    return np.clip(crop[..., rng.permutation(3)] * tint, 0, 255).astype(np.uint8)


def crops(rng: np.random.Generator, batch: int, size: int, photograph_share: float) -> NDArray[np.uint8]:
    """A batch of crops (batch, size, size, 3) for the autoencoder; a scene of twice the side gives two crops."""
    out: list[Pixels] = []
    while len(out) < batch:
        if rng.uniform() < photograph_share:
            out.append(photograph_crop(rng, size))
            continue
        picture = scene_picture(int(rng.integers(2**40)), 2 * size)
        for _ in range(min(2, batch - len(out))):
            y, x = rng.integers(0, size + 1, 2)
            out.append(picture[y : y + size, x : x + size])
    return np.stack(out)
