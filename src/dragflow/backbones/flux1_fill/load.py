"""Loading FLUX.1 Fill pipelines in diffusers layout."""

from __future__ import annotations

from dataclasses import replace

from dragflow.backbones.flux1.layout import spec_of
from dragflow.backbones.flux1.load import LAYOUT as FLUX1
from dragflow.backbones.flux1_fill.layout import check_configs
from dragflow.backbones.flux1_fill.model import Flux1Fill
from dragflow.backbones.flux1_fill.published import published
from dragflow.backbones.loader import PipelineLoader

LAYOUT = replace(FLUX1, pipeline="FluxFillPipeline", check_configs=check_configs, published=published)
LOADER = PipelineLoader(LAYOUT, Flux1Fill, spec_of)
