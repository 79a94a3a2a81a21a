"""Models for measuring: of published sizes, with random weights or none, and without text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import nn

from dragflow.backbones.conditioning import PooledText, Text
from dragflow.backbones.footprint import empty_networks
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.pipeline_layout import Layout
from dragflow.backbones.vae import stride_of
from dragflow.core.models import IN_MEMORY, ModelOptions, WeightsId

TEXT_TOKENS = 512
B = TypeVar("B", bound=PipelineBackbone)


def wordless(family: type[B], transformer: nn.Module, vae: nn.Module, tokens: int = TEXT_TOKENS) -> B:
    """A backbone on networks whose prompts are `tokens` random tokens, whatever they say."""

    def encode(self: Any, prompt: str) -> Text:
        config, device = self._transformer.config, self._transformer.device
        text = torch.randn(1, tokens, config.joint_attention_dim, device=device)
        if "pooled_projection_dim" not in config:
            return Text(text)
        return PooledText(text, torch.randn(1, config.pooled_projection_dim, device=device))

    parts: dict[str, Any] = {"transformer": transformer, "vae": vae}
    pipeline = SimpleNamespace(
        **parts, components=parts, scheduler=_scheduler(), vae_scale_factor=stride_of(vae), config={}
    )
    made: Any = type(f"Wordless{family.__name__}", (family,), {"_encode_prompt": encode})
    return made(transformer, pipeline, weights=WeightsId(ModelOptions("wordless"), IN_MEMORY + "wordless"))


def empty_parts(
    layout: Layout, model: str, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Transformer and autoencoder of published weights in bfloat16, without values.

    Args:
        layout: of the family.
        model: name of the weights.
        changes: of configurations, by part.
    """
    own = layout.published(model)
    configs = {part: {**own[part], **(changes or {}).get(part, {})} for part in ("transformer", "vae")}
    networks = empty_networks(layout, configs, model)
    return networks["transformer"], networks["vae"]


def _scheduler() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
