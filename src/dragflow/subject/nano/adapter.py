"""The embedded model's subject adapter: InstantCharacter in small, with one tiny encoder that was trained with it.

Its folder has `adapter.safetensors`, laid out as InstantCharacter's checkpoint, and beside it `encoder/`, a SigLIP
vision model in transformers layout.
"""

from __future__ import annotations

from pathlib import Path

import torch

from dragflow.core.models import SubjectOptions
from dragflow.method.backbone import Backbone
from dragflow.subject.instantcharacter.adapter import InstantCharacter, assemble
from dragflow.subject.instantcharacter.encoders import EncoderKind, Encoders, load_encoder

ADAPTER, ENCODER = "adapter.safetensors", "encoder"
TINY = EncoderKind("tiny SigLIP", "weights", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (1, 2, 3), 0)


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> InstantCharacter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    from transformers import SiglipVisionModel

    device, dtype = backbone.device, backbone.dtype
    home = torch.device("cpu") if offload else device
    folder = weights.parent / ENCODER

    def encoders() -> Encoders:
        return Encoders((load_encoder(TINY, SiglipVisionModel, str(folder), home, dtype),), device, offload)

    return assemble(options, weights, backbone, encoders, names=f"{folder} gives")
