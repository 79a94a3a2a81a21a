"""Loading FLUX.2 klein pipelines in diffusers layout."""

from __future__ import annotations

from dragflow.backbones.flux2.layout import TEXT_TOKENS
from dragflow.backbones.flux2_klein.layout import check_configs, spec_of
from dragflow.backbones.flux2_klein.model import Flux2Klein
from dragflow.backbones.flux2_klein.published import published
from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.pipeline_layout import Layout

LAYOUT = Layout(
    "Flux2KleinPipeline",
    "Flux2Transformer2DModel",
    {"text_encoder": "Qwen3ForCausalLM"},
    {"tokenizer": "text_encoder"},
    check_configs,
    published,
    autoencoders=("AutoencoderKLFlux2",),
    text_limit=TEXT_TOKENS,
)
LOADER = PipelineLoader(LAYOUT, Flux2Klein, spec_of)
