"""Loading FLUX.1 Kontext pipelines in diffusers layout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dragflow.backbones.flux1.load import LAYOUT as FLUX1
from dragflow.backbones.flux1.load import footprint
from dragflow.backbones.flux1_kontext.model import Flux1Kontext
from dragflow.backbones.load import load_pipeline, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.core.models import ModelOptions

__all__ = ["LAYOUT", "footprint", "load", "wrap"]

LAYOUT = replace(FLUX1, pipeline="FluxKontextPipeline")


def load(source: Source) -> Flux1Kontext:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, Flux1Kontext)


def wrap(pipeline: Any, options: ModelOptions) -> Flux1Kontext:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, Flux1Kontext)
