"""What files of text encoders leave out, and what stands for it: all of it is known, or never computed with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dragflow.backbones.checkpoints.recognise import Part
from dragflow.backbones.configs import Config
from dragflow.backbones.tensors import Shape

_HEAD = "lm_head.weight"
_PROJECTION = "text_projection.weight"


def completed(
    config: Config, needed: Mapping[str, Shape], part: Part, tensors: dict[str, Tensor]
) -> tuple[Config, dict[str, Tensor]]:
    """Settings and tensors of a text encoder as its class needs them.

    A language model without its head gets the embedding as one, since prompts are its states and never its answer. A
    CLIP-L without a projection has none to compute: Stable Diffusion 3 takes its pooled state as it is.

    Args:
        config: of the network.
        needed: its tensors.
        part: what the file says of it.
        tensors: of the file.
    """
    if _HEAD in needed and _HEAD not in tensors:
        inner = config.get("text_config")
        tied = {"tie_word_embeddings": True}
        config = {**config, **tied, **({"text_config": {**inner, **tied}} if isinstance(inner, dict) else {})}
    if _PROJECTION in needed and _PROJECTION not in tensors and part.network == "clip-l":
        tensors = {**tensors, _PROJECTION: torch.eye(*needed[_PROJECTION])}
    return config, tensors
