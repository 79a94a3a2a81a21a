"""Loading FLUX.2 klein pipelines in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragflow.backbones.flux2_klein.layout import TEXT_TOKENS, check_configs, spec_of, stride_of
from dragflow.backbones.flux2_klein.model import Flux2Klein
from dragflow.backbones.flux2_klein.published import published
from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.load import Layout, load_pipeline, read_configs, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.core.models import ModelOptions

LAYOUT = Layout(
    "Flux2KleinPipeline",
    "Flux2Transformer2DModel",
    {"text_encoder": "Qwen3ForCausalLM"},
    {"tokenizer": "text_encoder"},
    check_configs,
    autoencoders=("AutoencoderKLFlux2",),
    text_limit=TEXT_TOKENS,
    published=published,
)


def load(source: Source) -> Flux2Klein:
    """See `Loader.load`."""
    return load_pipeline(source, LAYOUT, Flux2Klein)


def wrap(pipeline: Any, options: ModelOptions) -> Flux2Klein:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT, Flux2Klein)


def footprint(model: str, folder: Path | None) -> Footprint:
    """See `Loader.footprint`."""
    configs = published(model) if folder is None else read_configs(LAYOUT, model, folder)
    networks = empty_networks(LAYOUT, configs, model)
    spec = spec_of(networks["transformer"], stride_of(networks["vae"]), distilled=False)
    return footprint_of(model, networks, spec)
