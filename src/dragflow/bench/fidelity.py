"""How well a model reproduces a picture without an edit: its autoencoder, and inversion followed by sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dragflow.bench.data.world import as_sample, case_of, drawn
from dragflow.bench.metrics.truth import psnr
from dragflow.bench.reconstruction import SETTINGS, Reconstruction, reconstruct
from dragflow.core.arrays import Pixels
from dragflow.core.config import EditConfig
from dragflow.editor import frames

if TYPE_CHECKING:
    from dragflow.method.backbone import Backbone

PHOTOGRAPHS = ("astronaut", "chelsea")
"""From scikit-image; the autoencoder of the embedded model was not trained on them."""


@dataclass(frozen=True)
class Fidelity:
    """Medians over pictures, in dB."""

    scenes: int
    autoencoder: float
    """PSNR of decoded scenes to the scenes."""
    photographs: float
    """The same on photographs; NaN without scikit-image."""
    inversion: float
    """PSNR of inverted and sampled scenes to the autoencoder's own reconstruction."""


def fidelity(backbone: Backbone, scenes: range, config: EditConfig) -> Fidelity:
    """Measure a model on held-out scenes and on photographs."""
    reconstructions = [_scene(backbone, scene, config) for scene in scenes]
    photographs = [_round_trip_error(backbone, picture) for picture in _photographs(backbone.spec.pixel_multiple)]
    return Fidelity(
        len(scenes),
        float(np.median([scene.autoencoder for scene in reconstructions])),
        float(np.median(photographs)) if photographs else math.nan,
        float(np.median([scene.psnr_latent for scene in reconstructions])),
    )


def _scene(backbone: Backbone, scene: int, config: EditConfig) -> Reconstruction:
    sample = as_sample(str(scene), drawn(case_of(scene)))
    (matched,) = reconstruct(backbone, sample, config, None, settings={"matched": SETTINGS["matched"]})
    return matched


def _round_trip_error(backbone: Backbone, picture: Pixels) -> float:
    decoded = backbone.decode(backbone.encode(frames.as_image(picture, (picture.shape[0], picture.shape[1]))))
    return psnr(frames.as_pixels(decoded), picture, np.ones(picture.shape[:2], np.bool_))


def _photographs(multiple: int) -> list[Pixels]:
    try:
        from skimage import data
    except ImportError:
        return []
    pictures = [np.asarray(getattr(data, name)()) for name in PHOTOGRAPHS]
    return [p[: p.shape[0] // multiple * multiple, : p.shape[1] // multiple * multiple] for p in pictures]
