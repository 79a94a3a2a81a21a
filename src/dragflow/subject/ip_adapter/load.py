"""Loading an IP-adapter for FLUX.1: its checkpoint's layout, and the encoder that goes with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from dragflow.backbones.base import on_diffusers
from dragflow.backbones.devices import idle_device
from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectId, SubjectOptions
from dragflow.method.backbone import Backbone
from dragflow.subject.checkpoint import read_tensors
from dragflow.subject.encoders import CLIP, SIGLIP, EncoderSpec, load_network
from dragflow.subject.ip_adapter import instantx, xlabs
from dragflow.subject.ip_adapter.adapter import ImageEncoder, IpAdapter


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> IpAdapter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    spec = backbone.spec
    if spec.subject_heads is None:
        raise CapabilityError(f"no subject can be injected into models of family {spec.family}: use FLUX.1")
    device, dtype, (heads, _) = backbone.device, backbone.dtype, spec.subject_heads
    idle = idle_device(device, offload=offload)
    tensors = read_tensors(weights)
    if instantx.has_layout(tensors):
        projection, token_kv = instantx.load_modules(weights, tensors, spec, spec.subject_heads)
        place, load_encoder, width = instantx.PLACE, _load_siglip, projection.proj[0].in_features
        _check_unused(options, CLIP, weights, "InstantX's layout, whose encoder is SigLIP")
    else:
        transformer = on_diffusers(backbone, "an IP-adapter").transformer
        projection, token_kv = xlabs.load_modules(weights, tensors, transformer, heads)
        place, load_encoder, width = xlabs.PLACE, _load_clip, projection.image_embeds.in_features
        _check_unused(options, SIGLIP, weights, "XLabs' layout, whose encoder is CLIP")
    encoder = load_encoder(options, idle, dtype)
    if encoder.width != width:
        raise UserError(
            f"`subject.weights` {weights}: trained for an embedding of width {width}, but that of {encoder.spec.name} "
            f"{encoder.model.name_or_path} has {encoder.width}; give the encoder that it was trained with as "
            f"`subject.{encoder.spec.option}`"
        )
    nn.ModuleList([projection, *token_kv.values()]).to(device, dtype).eval().requires_grad_(False)
    record = SubjectId(replace(options, fingerprint=None), with_networks(file_fingerprint(weights), [encoder.model]))
    return IpAdapter(encoder, projection, token_kv, heads, place, device, offload, record)


def _check_unused(options: SubjectOptions, encoder: EncoderSpec, weights: Path, layout: str) -> None:
    """Refuse an encoder that was chosen, but that this layout does not use."""
    chosen = getattr(options, encoder.option)
    if chosen != getattr(SubjectOptions, encoder.option):
        raise UserError(
            f"`subject.{encoder.option}` {chosen} would not be used: {weights} has {layout}; leave "
            f"`subject.{encoder.option}` out"
        )


def _load_clip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    from transformers import CLIPVisionModelWithProjection

    model = load_network(CLIP, CLIPVisionModelWithProjection, options.clip, device, dtype)
    return ImageEncoder(CLIP, model, "image_embeds", int(model.config.projection_dim))


def _load_siglip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    from transformers import SiglipVisionModel

    model = load_network(SIGLIP, SiglipVisionModel, options.siglip, device, dtype)
    if not getattr(model.config, "vision_use_head", True):
        raise UserError(
            f"`subject.siglip` {options.siglip} has no pooling head, so it gives no embedding: use another SigLIP"
        )
    return ImageEncoder(SIGLIP, model, "pooler_output", int(model.config.hidden_size))
