"""What FLUX.2 dev reads prompts with: the layers of Mistral 3 up to the last one whose states are a prompt's tokens.

Files hold more: the vision tower, further layers, and the norm and the head after them. ComfyUI's hold these layers
and the vision tower alone.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar

from torch import nn
from transformers import MistralConfig, MistralModel

from dragflow.backbones.flux2_dev.layout import TEXT_LAYERS

_LAYERS = TEXT_LAYERS[-1]
_PUBLISHED_LAYERS = 40


class PromptLayers(MistralModel):
    """The text half of a `Mistral3ForConditionalGeneration`, cut after the last layer that is read."""

    key_mapping: ClassVar = {r"^(?:model\.|language_model\.)+": ""}
    """What comes before names: in files of the whole, of transformers 4 and 5, and in ComfyUI's."""
    left_out: ClassVar = (
        "vision_tower.",
        "multi_modal_projector.",
        *(f"layers.{i}." for i in range(_LAYERS, _PUBLISHED_LAYERS)),
        "norm.",
        "lm_head.",
    )
    """How the names of tensors begin that files hold beside, once they are renamed."""

    def __init__(self, config: MistralConfig) -> None:
        config = copy(config)
        config.num_hidden_layers = _LAYERS
        super().__init__(config)
        self.norm = nn.Identity()  # the states of a layer are read, which come before it
