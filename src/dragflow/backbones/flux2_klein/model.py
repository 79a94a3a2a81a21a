"""FLUX.2 klein in diffusers layout: distilled models take no guidance, base models a classifier-free one."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.flux2.model import Flux2
from dragflow.backbones.flux2_klein import FAMILY, distilled
from dragflow.backbones.flux2_klein.layout import spec_of
from dragflow.method.backbone import BackboneSpec


class Flux2Klein(Flux2):
    """A `Backbone` on a `Flux2Transformer2DModel` and the rest of its `Flux2KleinPipeline`."""

    def _facts(self) -> BackboneSpec:
        spec = spec_of(self._transformer, self._stride, distilled=self._is(distilled))
        return replace(spec, prompts=FAMILY.prompts, preset=FAMILY.preset)
