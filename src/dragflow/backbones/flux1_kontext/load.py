"""Loading FLUX.1 Kontext pipelines in diffusers layout."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.flux1.layout import spec_of
from dragflow.backbones.flux1.load import LAYOUT as FLUX1
from dragflow.backbones.flux1_kontext.model import Flux1Kontext
from dragflow.backbones.loader import PipelineLoader

LAYOUT = replace(FLUX1, pipeline="FluxKontextPipeline")
LOADER = PipelineLoader(LAYOUT, Flux1Kontext, spec_of)
