"""Loading Qwen-Image pipelines in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.load import Layout, load_pipeline, read_configs, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.backbones.qwen_image.layout import TEXT_TOKENS, check_configs, spec_of, stride_of
from dragflow.backbones.qwen_image.model import QwenImage
from dragflow.backbones.qwen_image.published import published
from dragflow.core.models import ModelOptions

LAYOUT = Layout(
    "QwenImagePipeline",
    "QwenImageTransformer2DModel",
    {"text_encoder": "Qwen2_5_VLForConditionalGeneration"},
    {"tokenizer": "text_encoder"},
    check_configs,
    autoencoders=("AutoencoderKLQwenImage",),
    text_limit=TEXT_TOKENS,
    published=lambda _: published(),
)


def load(source: Source) -> QwenImage:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, QwenImage)


def wrap(pipeline: Any, options: ModelOptions) -> QwenImage:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, QwenImage)


def footprint(model: str, folder: Path | None) -> Footprint:
    """See `Loader.footprint`."""
    configs = published() if folder is None else read_configs(LAYOUT, model, folder)
    networks = empty_networks(LAYOUT, configs, model)
    return footprint_of(model, networks, spec_of(networks["transformer"], stride_of(networks["vae"])))
