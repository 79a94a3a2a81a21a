"""A backbone's own features at its default taps, on a noised picture: every model that can drag has them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dragflow.backbones.registry import load_backbone
from dragflow.bench.metrics.features import MAX_PIXELS, Features, model_name, over_noise
from dragflow.core.arrays import Pixels
from dragflow.core.models import NANO, ModelOptions
from dragflow.editor.frames import as_image, model_size
from dragflow.method.backbone import Backbone
from dragflow.method.filling import kept


@dataclass(frozen=True, eq=False)
class Taps:
    """A backbone, and the noise that is mixed into the picture."""

    name: str
    backbone: Backbone
    t: float = 0.261
    """Flow time, the same as DIFT's."""
    ensemble: int = 8
    """Draws of noise that the features are averaged over."""
    seed: int = 0
    prompted: bool = True

    @torch.no_grad()
    def __call__(self, image: Pixels, prompt: str) -> Features:
        """See `FeatureExtractor`; the taps are concatenated along the channels."""
        spec = self.backbone.spec
        size = model_size(spec, (image.shape[0], image.shape[1]), MAX_PIXELS)
        z = self.backbone.encode(as_image(image, size))
        cond = self.backbone.condition(prompt, fill=kept(z, spec), guidance=1.0)

        def features(noise: Tensor) -> Features:
            noisy = (1 - self.t) * z + self.t * noise
            outputs = self.backbone.features(noisy, self.t, cond, taps=spec.taps)
            return torch.cat([output[0].float() for output in outputs])

        return over_noise(z, self.ensemble, self.seed, features)


def load_taps(model: str | None = None, device: str | None = None) -> Taps:
    """Load the features of a model; default the built-in `nano`.

    Raises:
        UserError: it cannot be loaded.
    """
    model = model or NANO
    return Taps(f"taps of {model_name(model)}", load_backbone(ModelOptions.of(model, device=device, unswept=True)))
