"""Loading Stable Diffusion 3 pipelines in diffusers layout, with T5 or without it."""

from __future__ import annotations

from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.pipeline_layout import Layout
from dragflow.backbones.sd3.layout import check_configs, spec_of
from dragflow.backbones.sd3.model import SD3
from dragflow.backbones.sd3.published import published

LAYOUT = Layout(
    "StableDiffusion3Pipeline",
    "SD3Transformer2DModel",
    {
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel",
    },
    {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2", "tokenizer_3": "text_encoder_3"},
    check_configs,
    published,
    optional=("text_encoder_3",),
)
LOADER = PipelineLoader(LAYOUT, SD3, spec_of)
