"""Loading FLUX.1 pipelines in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.flux1.layout import check_configs, spec_of
from dragflow.backbones.flux1.model import Flux1
from dragflow.backbones.flux1.published import published
from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.load import Layout, load_pipeline, read_configs, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.core.models import ModelOptions

LAYOUT = Layout(
    "FluxPipeline",
    "FluxTransformer2DModel",
    {"text_encoder": "CLIPTextModel", "text_encoder_2": "T5EncoderModel"},
    {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"},
    check_configs,
    published=published,
)


def load(source: Source) -> Flux1:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, Flux1)


def wrap(pipeline: Any, options: ModelOptions) -> Flux1:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, Flux1)


def footprint(model: str, folder: Path | None) -> Footprint:
    """See `Loader.footprint`."""
    networks = empty_networks(
        LAYOUT, published(model) if folder is None else read_configs(LAYOUT, model, folder), model
    )
    vae: Any = networks["vae"]
    return footprint_of(
        model, networks, spec_of(networks["transformer"], 2 ** (len(vae.config.block_out_channels) - 1))
    )
