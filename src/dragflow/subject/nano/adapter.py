"""The embedded model's subject adapter: InstantCharacter in small, with one tiny encoder that was trained with it.

Its folder has `adapter.safetensors`, laid out as InstantCharacter's checkpoint, and beside it `encoder/`, a SigLIP
vision model in transformers layout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dragflow.backbones.devices import idle_device
from dragflow.core.models import SubjectOptions
from dragflow.method.backbone import Backbone
from dragflow.subject.encoders import SIGLIP
from dragflow.subject.instantcharacter.adapter import InstantCharacter, assemble
from dragflow.subject.instantcharacter.encoders import PatchEncoders, PatchSpec, load_encoder

ADAPTER, ENCODER = "adapter.safetensors", "encoder"
TINY_SIGLIP = PatchSpec(replace(SIGLIP, name="tiny SigLIP", option="weights"), (1, 2, 3))


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> InstantCharacter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    from transformers import SiglipVisionModel

    device, dtype = backbone.device, backbone.dtype
    idle, folder = idle_device(device, offload=offload), weights.parent / ENCODER

    def encoders() -> PatchEncoders:
        encoder = load_encoder(TINY_SIGLIP, SiglipVisionModel, str(folder), idle, dtype)
        return PatchEncoders((encoder,), device, offload)

    return assemble(options, weights, backbone, encoders, names=str(folder))
