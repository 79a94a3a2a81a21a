"""What a model gives back before anything is edited: its autoencoder's error, and that of inversion and sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dragflow import canvas
from dragflow.bench.data.world import case_of
from dragflow.bench.metrics.truth import Pixels, psnr
from dragflow.core.config import InversionConfig
from dragflow.core.events import silent
from dragflow.method.inversion import invert
from dragflow.ops.flow import integrate

if TYPE_CHECKING:
    from dragflow.method.backbone import Backbone

PHOTOGRAPHS = ("astronaut", "chelsea")
"""Of scikit-image; the autoencoder of the embedded model has not seen them."""


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


def fidelity(backbone: Backbone, scenes: range, config: InversionConfig) -> Fidelity:
    """Measure a model on held-out scenes and on photographs."""
    pairs = [_scene(backbone, scene, config) for scene in scenes]
    photographs = [_round_trip_error(backbone, picture) for picture in _photographs(backbone.spec.pixel_multiple)]
    return Fidelity(
        len(scenes),
        float(np.median([a for a, _ in pairs])),
        float(np.median(photographs)) if photographs else math.nan,
        float(np.median([b for _, b in pairs])),
    )


def _scene(backbone: Backbone, scene: int, config: InversionConfig) -> tuple[float, float]:
    case = case_of(scene)
    size = (case.mask.shape[0], case.mask.shape[1])
    everywhere = np.ones(size, np.bool_)
    z = backbone.encode(canvas.as_image(case.source, size))
    plain = canvas.as_pixels(backbone.decode(z))
    cond = backbone.condition(case.caption, guidance=config.guidance)
    schedule = backbone.schedule(config, (z.shape[-2], z.shape[-1]))
    inversion = invert(backbone, z, cond, schedule, kv_blocks=None, show=canvas.as_pixels, observer=silent)
    back = integrate(lambda z, t: backbone.velocity(z, t, cond), inversion.z, schedule.used)
    sampled = canvas.as_pixels(backbone.decode(back))
    return psnr(plain, case.source, everywhere), psnr(sampled, plain, everywhere)


def _round_trip_error(backbone: Backbone, picture: Pixels) -> float:
    decoded = backbone.decode(backbone.encode(canvas.as_image(picture, (picture.shape[0], picture.shape[1]))))
    return psnr(canvas.as_pixels(decoded), picture, np.ones(picture.shape[:2], np.bool_))


def _photographs(multiple: int) -> list[Pixels]:
    try:
        from skimage import data
    except ImportError:
        return []
    pictures = [np.asarray(getattr(data, name)()) for name in PHOTOGRAPHS]
    return [p[: p.shape[0] // multiple * multiple, : p.shape[1] // multiple * multiple] for p in pictures]
