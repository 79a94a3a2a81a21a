"""Loading an IP-adapter for FLUX.1: which layout its checkpoint has, and the encoder that this layout takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from dragflow.backbones.base import on_diffusers
from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectId, SubjectOptions
from dragflow.method.backbone import Backbone
from dragflow.subject.checkpoint import read_tensors
from dragflow.subject.instantcharacter.encoders import SIGLIP
from dragflow.subject.ip_adapter import instantx, xlabs
from dragflow.subject.ip_adapter.adapter import Eye, IpAdapter
from dragflow.subject.vision import Kind, load_network

_CLIP = Kind("CLIP", "clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> IpAdapter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    heads = backbone.spec.subject_heads
    if heads is None:
        raise CapabilityError("subject adapter ip-adapter acts in a FLUX.1: use such a model")
    device, dtype = backbone.device, backbone.dtype
    home = torch.device("cpu") if offload else device
    tensors = read_tensors(weights)
    if instantx.has_layout(tensors):
        projection, readers = instantx.load_modules(weights, tensors, backbone.spec, heads)
        place, load_eye, takes = instantx.PLACE, _load_siglip, projection.proj[0].in_features
        _refuse(options, _CLIP, weights, "InstantX's layout, which takes SigLIP")
    else:
        projection, readers = xlabs.load_modules(
            weights, tensors, on_diffusers(backbone, "an IP-adapter").transformer, heads[0]
        )
        place, load_eye, takes = xlabs.PLACE, _load_clip, projection.image_embeds.in_features
        _refuse(options, SIGLIP, weights, "XLabs' layout, which takes CLIP")
    eye, gives = load_eye(options, home, dtype)
    if gives != takes:
        raise UserError(
            f"{eye.kind.name} {eye.model.name_or_path} gives an embedding of width {gives}: subject weights {weights} "
            f"take {takes}; use the encoder that they were trained with (`subject.{eye.kind.option}`)"
        )
    nn.ModuleList([projection, *readers.values()]).to(device, dtype).eval().requires_grad_(False)
    record = SubjectId(replace(options, fingerprint=None), with_networks(file_fingerprint(weights), [eye.model]))
    return IpAdapter(eye, projection, readers, heads[0], place, device, offload, record)


def _refuse(options: SubjectOptions, kind: Kind, weights: Path, layout: str) -> None:
    """An encoder that was chosen, and that this layout has no use for."""
    chosen = getattr(options, kind.option)
    if chosen != getattr(SubjectOptions, kind.option):
        raise UserError(
            f"subject weights {weights} are in {layout}: {chosen} is not used, leave `subject.{kind.option}` out"
        )


def _load_clip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> tuple[Eye, int]:
    """The encoder, and the width of its embedding."""
    from transformers import CLIPVisionModelWithProjection

    model = load_network(_CLIP, CLIPVisionModelWithProjection, options.clip, device, dtype)
    return Eye(_CLIP, model, "image_embeds"), int(model.config.projection_dim)


def _load_siglip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> tuple[Eye, int]:
    """The encoder, and the width of its embedding."""
    from transformers import SiglipVisionModel

    model = load_network(SIGLIP, SiglipVisionModel, options.siglip, device, dtype)
    if not getattr(model.config, "vision_use_head", True):
        raise UserError(f"SigLIP {options.siglip} has no head, which gives the embedding: choose another")
    return Eye(SIGLIP, model, "pooler_output"), int(model.config.hidden_size)
