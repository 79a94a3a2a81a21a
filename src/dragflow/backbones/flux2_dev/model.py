"""FLUX.2 dev in diffusers layout: FLUX.2 with its guidance embedded."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.flux2.model import Flux2
from dragflow.backbones.flux2_dev import FAMILY
from dragflow.backbones.flux2_dev.layout import spec_of
from dragflow.method.backbone import BackboneSpec


class Flux2Dev(Flux2):
    """A `Backbone` on a `Flux2Transformer2DModel` and the rest of its `Flux2Pipeline`."""

    def _facts(self) -> BackboneSpec:
        return replace(spec_of(self._transformer, self._stride), prompts=FAMILY.prompts, preset=FAMILY.preset)
