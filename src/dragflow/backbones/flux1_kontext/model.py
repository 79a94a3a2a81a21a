"""FLUX.1 Kontext: FLUX.1 whose references are tokens after the image's, told apart by the first rotary axis."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.flux1_kontext import FAMILY
from dragflow.method.backbone import BackboneSpec

_REFERENCES = 2
"""The model's report (arXiv 2506.15742) numbers any number of pictures on the first axis; the published weights were
trained with one."""
_WIDTHS = (672, 688, 720, 752, 800, 832, 880, 944, 1024, 1104, 1184, 1248, 1328, 1392, 1456, 1504, 1568)
SIZES = tuple(zip(reversed(_WIDTHS), _WIDTHS, strict=True))
"""(h, w) of the pictures that it was trained on, from tall to wide, about a megapixel each."""


class Flux1Kontext(Flux1):
    """A `Backbone` on a `FluxTransformer2DModel` and the rest of its `FluxKontextPipeline`."""

    def _facts(self) -> BackboneSpec:
        return replace(
            super()._facts(),
            family="flux1-kontext",
            references=_REFERENCES,
            prompts=FAMILY.prompts,
            sizes=SIZES,
            preset=FAMILY.preset,
        )
