"""DINOv2 features (Oquab et al. 2023): the patch tokens of the last layer, on their grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange

from dragflow.backbones.devices import pick_device
from dragflow.backbones.hub import WHOLE, find
from dragflow.backbones.parts import load_part
from dragflow.bench.metrics.features import MAX_PIXELS, Features, model_name, pick_model
from dragflow.bench.metrics.pixels import resized
from dragflow.core.arrays import Pixels
from dragflow.editor.frames import working_size

VARIABLE = "DRAGFLOW_DINOV2"

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@dataclass(frozen=True, eq=False)
class DinoV2:
    """A vision transformer."""

    name: str
    model: Any
    prompted: bool = False

    @torch.no_grad()
    def __call__(self, image: Pixels, prompt: str) -> Features:
        """See `FeatureExtractor`; sides are scaled to multiples of a patch."""
        patch = int(self.model.config.patch_size)
        h, w = working_size((image.shape[0], image.shape[1]), MAX_PIXELS, patch)
        x = torch.tensor(resized(image, (h, w))).float() / 255
        x = (x - x.new_tensor(_MEAN)) / x.new_tensor(_STD)
        tokens = self.model(rearrange(x, "h w c -> 1 c h w").to(self.model.device)).last_hidden_state
        return rearrange(tokens[0, 1:], "(h w) c -> c h w", h=h // patch)  # the first token is the whole picture's


def load_dinov2(model: str | None = None, device: str | None = None) -> DinoV2:
    """Load DINOv2 in transformers layout, a hub id or a folder; default $DRAGFLOW_DINOV2.

    Raises:
        UserError: no model, weights missing, or another architecture.
    """
    model = pick_model(model, VARIABLE, "dinov2", "a DINOv2 in transformers layout, a folder or a hub id,")
    target = pick_device(device)
    from transformers import Dinov2Model

    folder = str(find(model, parts=WHOLE))
    return DinoV2(f"DINOv2 ({model_name(model)})", load_part(Dinov2Model, folder, "model", target))
