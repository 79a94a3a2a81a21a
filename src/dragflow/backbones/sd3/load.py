"""Loading Stable Diffusion 3 pipelines in diffusers layout, with T5 or without it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragflow.backbones.configs import read_config
from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.hub import INDEX
from dragflow.backbones.load import Layout, load_pipeline, read_configs, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.backbones.sd3.layout import check_configs, spec_of
from dragflow.backbones.sd3.model import SD3
from dragflow.backbones.sd3.published import published
from dragflow.core.models import ModelOptions

_log = logging.getLogger(__name__)

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
    published=published,
)
_T5 = "text_encoder_3"


def load(source: Source) -> SD3:
    """See `Loader.load`."""
    layout = _layout_of(source.options.name, source.folder)
    if _T5 not in layout.text_encoders:
        _log.info("model %s has no T5: prompts are read by both CLIPs alone", source.options.name)
    return load_pipeline(source, layout, SD3)


def wrap(pipeline: Any, options: ModelOptions) -> SD3:
    """See `Loader.wrap`."""
    return wrap_pipeline(pipeline, options, LAYOUT if pipeline.text_encoder_3 is not None else _without_t5(), SD3)


def footprint(model: str, folder: Path | None) -> Footprint:
    """See `Loader.footprint`."""
    layout = LAYOUT if folder is None else _layout_of(model, folder)
    configs = published(model) if folder is None else read_configs(layout, model, folder)
    networks = empty_networks(layout, configs, model)
    vae: Any = networks["vae"]
    stride = 2 ** (len(vae.config.block_out_channels) - 1)
    return footprint_of(model, networks, spec_of(networks["transformer"], stride))


def _layout_of(model: str, folder: Path) -> Layout:
    """The parts that a model has, by its index."""
    entry = read_config(f"model {model}", folder / INDEX).get(_T5)
    return LAYOUT if isinstance(entry, list) and all(entry) else _without_t5()


def _without_t5() -> Layout:
    encoders = {part: cls for part, cls in LAYOUT.text_encoders.items() if part != _T5}
    tokenizers = {part: encoder for part, encoder in LAYOUT.tokenizers.items() if encoder != _T5}
    absent = (_T5, *(part for part in LAYOUT.tokenizers if part not in tokenizers))
    return replace(LAYOUT, text_encoders=encoders, tokenizers=tokenizers, absent=absent)
