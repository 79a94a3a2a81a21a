"""Loading Qwen-Image pipelines in diffusers layout."""

from __future__ import annotations

from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.pipeline_layout import Layout
from dragflow.backbones.qwen_image.layout import TEXT_TOKENS, check_configs, spec_of, stride_of
from dragflow.backbones.qwen_image.model import QwenImage
from dragflow.backbones.qwen_image.published import published

LAYOUT = Layout(
    "QwenImagePipeline",
    "QwenImageTransformer2DModel",
    {"text_encoder": "Qwen2_5_VLForConditionalGeneration"},
    {"tokenizer": "text_encoder"},
    check_configs,
    published,
    autoencoders=("AutoencoderKLQwenImage",),
    text_limit=TEXT_TOKENS,
)
LOADER = PipelineLoader(LAYOUT, QwenImage, spec_of, stride_of)
