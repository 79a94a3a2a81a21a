"""Loading Z-Image pipelines in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.load import Layout, load_pipeline, read_configs, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.backbones.z_image.layout import TEXT_TOKENS, check_configs, spec_of
from dragflow.backbones.z_image.model import ZImage
from dragflow.backbones.z_image.published import published
from dragflow.core.models import ModelOptions

LAYOUT = Layout(
    "ZImagePipeline",
    "ZImageTransformer2DModel",
    {"text_encoder": "Qwen3Model"},
    {"tokenizer": "text_encoder"},
    check_configs,
    text_limit=TEXT_TOKENS,
    published=lambda _: published(),
)


def load(source: Source) -> ZImage:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, ZImage)


def wrap(pipeline: Any, options: ModelOptions) -> ZImage:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, ZImage)


def footprint(model: str, folder: Path | None) -> Footprint:
    """See `Loader.footprint`."""
    configs = published() if folder is None else read_configs(LAYOUT, model, folder)
    networks = empty_networks(LAYOUT, configs, model)
    vae: Any = networks["vae"]
    stride = 2 ** (len(vae.config.block_out_channels) - 1)
    return footprint_of(model, networks, spec_of(networks["transformer"], stride, distilled=False))
