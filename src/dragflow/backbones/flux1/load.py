"""Loading FLUX.1 pipelines in diffusers layout."""

from __future__ import annotations

from dragflow.backbones.flux1.layout import check_configs, spec_of
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.flux1.published import published
from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.pipeline_layout import Layout

LAYOUT = Layout(
    "FluxPipeline",
    "FluxTransformer2DModel",
    {"text_encoder": "CLIPTextModel", "text_encoder_2": "T5EncoderModel"},
    {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
    check_configs,
    published,
)
LOADER = PipelineLoader(LAYOUT, Flux1, spec_of)
