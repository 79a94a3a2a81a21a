"""FLUX.1 Fill: FLUX.1 that is told, beside each token of the latent, what is kept there and what it is to draw."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.conditioning import Told
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.flux1_fill import FAMILY
from dragflow.backbones.flux1_fill.layout import packed
from dragflow.method.backbone import BackboneSpec, Fill, Latent
from dragflow.method.filling import with_hole

_SIZES_KEPT = 2


class Flux1Fill(Flux1):
    """A `Backbone` on a `FluxTransformer2DModel` and the rest of its `FluxFillPipeline`."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        """See `PipelineBackbone`."""
        super().__init__(*parts, **options)
        self._nothing_kept = lru_cache(_SIZES_KEPT)(self._all_drawn)

    def _facts(self) -> BackboneSpec:
        return replace(super()._facts(), family="flux1-fill", fills=True, preset=FAMILY.preset)

    def _filled(self, fill: Fill) -> Float[Tensor, "1 n k"]:
        return packed(fill)

    def _packed(self, z: Latent, cond: Told) -> Float[Tensor, "b n k"]:
        tokens, fill = super()._packed(z, cond), cond.fill
        if fill is None:
            fill = self._nothing_kept(z.shape[-2], z.shape[-1])
        return torch.cat([tokens, fill.to(tokens).expand(len(tokens), -1, -1)], dim=2)

    def _all_drawn(self, h: int, w: int) -> Float[Tensor, "1 n k"]:
        """What the model is told where nothing of a picture is kept, whose latent is of (h, w)."""
        h, w = h * self.spec.latent_stride, w * self.spec.latent_stride
        return packed(with_hole(self, torch.zeros(1, 3, h, w), torch.ones(h, w, dtype=torch.bool)))
