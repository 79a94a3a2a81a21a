"""Loading FLUX.2 dev pipelines in diffusers layout."""

from __future__ import annotations

from typing import Any

from dragflow.backbones.flux2.layout import TEXT_TOKENS
from dragflow.backbones.flux2_dev.layout import check_configs, spec_of
from dragflow.backbones.flux2_dev.model import Flux2Dev
from dragflow.backbones.flux2_dev.published import published
from dragflow.backbones.loader import PipelineLoader
from dragflow.backbones.parts import Source
from dragflow.backbones.pipeline_layout import Layout


def read_tokenizer(source: Source) -> Any:
    """The tokenizer in a `PixtralProcessor`: the library makes none without torchvision, for pictures in prompts.

    Raises:
        ValueError: it has no template of a chat, or nothing to pad with.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(source.folder / "tokenizer")
    words = [{"role": "user", "content": [{"type": "text", "text": "a cat"}]}]
    tokenizer.apply_chat_template([words], padding="max_length", max_length=TEXT_TOKENS)
    return tokenizer


LAYOUT = Layout(
    "Flux2Pipeline",
    "Flux2Transformer2DModel",
    {"text_encoder": "dragflow.backbones.flux2_dev.encoder:PromptLayers"},
    {"tokenizer": "text_encoder"},
    check_configs,
    published,
    autoencoders=("AutoencoderKLFlux2",),
    text_limit=TEXT_TOKENS,
    further={"tokenizer": read_tokenizer},
)
LOADER = PipelineLoader(LAYOUT, Flux2Dev, spec_of)
