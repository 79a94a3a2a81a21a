"""Loading Z-Image pipelines in diffusers layout."""

from __future__ import annotations

from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.pipeline_layout import Layout
from dragflow.backbones.z_image.layout import TEXT_TOKENS, check_configs, spec_of
from dragflow.backbones.z_image.model import ZImage
from dragflow.backbones.z_image.published import published

LAYOUT = Layout(
    "ZImagePipeline",
    "ZImageTransformer2DModel",
    {"text_encoder": "Qwen3Model"},
    {"tokenizer": "text_encoder"},
    check_configs,
    published,
    text_limit=TEXT_TOKENS,
)
LOADER = PipelineLoader(LAYOUT, ZImage, spec_of)
