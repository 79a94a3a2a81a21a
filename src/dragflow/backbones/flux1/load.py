"""Loading FLUX.1 pipelines in diffusers layout."""

from __future__ import annotations

from typing import Any

from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.load import Layout, load_pipeline, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.core.models import ModelOptions

LAYOUT = Layout(
    "FluxPipeline",
    "FluxTransformer2DModel",
    {"text_encoder": "CLIPTextModel", "text_encoder_2": "T5EncoderModel"},
    ("tokenizer", "tokenizer_2", "scheduler"),
)


def load(source: Source) -> Flux1:
    """See `Family.load`."""
    return load_pipeline(source, LAYOUT, Flux1)


def wrap(pipeline: Any, options: ModelOptions) -> Flux1:
    """See `Family.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, Flux1)
