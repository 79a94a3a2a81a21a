"""Loading an IP-adapter: its checkpoint's layout, and the encoder that goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dragflow.backbones.base import on_diffusers
from dragflow.backbones.devices import idle_device
from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectId, SubjectOptions
from dragflow.method.backbone import Backbone
from dragflow.subject.checkpoint import read_tensors
from dragflow.subject.encoders import CLIP, SIGLIP, EncoderSpec, load_network
from dragflow.subject.ip_adapter import instantx, sd3, xlabs
from dragflow.subject.ip_adapter.adapter import FLUX1_LAYOUTS, ImageEncoder, IpAdapter
from dragflow.subject.ip_adapter.sd3 import TimedIpAdapter


def load(options: SubjectOptions, weights: Path, backbone: Backbone, offload: bool) -> IpAdapter | TimedIpAdapter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_subject`."""
    heads = backbone.spec.subject_heads
    if heads is None:
        raise CapabilityError(
            f"no subject can be injected into models of family {backbone.spec.family}: use FLUX.1 or Stable Diffusion "
            "3.5 large"
        )
    of_sd3 = backbone.spec.family == sd3.FAMILY
    if of_sd3:
        sd3.check_attentions(on_diffusers(backbone, "an IP-adapter").transformer)
    tensors = read_tensors(weights)
    _check_family(weights, tensors, of_sd3=of_sd3)
    return (_load_sd3 if of_sd3 else _load_flux1)(options, weights, tensors, backbone, heads, offload)


def _load_flux1(
    options: SubjectOptions,
    weights: Path,
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    heads: tuple[int, int],
    offload: bool,
) -> IpAdapter:
    device, dtype = backbone.device, backbone.dtype
    if instantx.has_layout(tensors):
        projection, token_kv = instantx.load_modules(weights, tensors, backbone.spec, heads)
        place, load_encoder, width = instantx.PLACE, _load_pooled_siglip, projection.embedding
        _check_unused(options, CLIP, weights, "InstantX's layout, whose encoder is SigLIP")
    else:
        transformer = on_diffusers(backbone, "an IP-adapter").transformer
        projection, token_kv = xlabs.load_modules(weights, tensors, transformer, heads[0])
        place, load_encoder, width = xlabs.PLACE, _load_clip, projection.image_embeds.in_features
        _check_unused(options, SIGLIP, weights, "XLabs' layout, whose encoder is CLIP")
    encoder = load_encoder(options, idle_device(device, offload=offload), dtype)
    _check_width(weights, encoder, width)
    _place([projection, *token_kv.values()], device, dtype)
    record = _record(options, weights, encoder)
    return IpAdapter(encoder, projection, token_kv, heads[0], place, device, offload, record)


def _load_sd3(
    options: SubjectOptions,
    weights: Path,
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    heads: tuple[int, int],
    offload: bool,
) -> TimedIpAdapter:
    device, dtype = backbone.device, backbone.dtype
    resampler, attentions = sd3.load_modules(weights, tensors, backbone.spec.blocks, heads)
    _check_unused(options, CLIP, weights, "the layout for Stable Diffusion 3.5, whose encoder is SigLIP")
    encoder = _load_siglip_patches(options, idle_device(device, offload=offload), dtype)
    _check_width(weights, encoder, resampler.proj_in.in_features)
    _place([resampler, *attentions.values()], device, dtype)
    record = _record(options, weights, encoder)
    return TimedIpAdapter(encoder, resampler, attentions, backbone.cache_device, device, offload, record)


def _check_family(weights: Path, tensors: Mapping[str, Tensor], *, of_sd3: bool) -> None:
    """Refuse an adapter for the other family of models."""
    if sd3.has_layout(tensors) == of_sd3:
        return
    if of_sd3:
        raise UserError(
            f"`subject.weights` {weights} is not an IP-adapter for Stable Diffusion 3.5, as the model is: give "
            f"{sd3.WANTED}, or use the model that it was trained for"
        )
    raise UserError(
        f"`subject.weights` {weights} is an IP-adapter for Stable Diffusion 3.5, but the model is FLUX.1: give "
        f"{FLUX1_LAYOUTS}, or use Stable Diffusion 3.5 large"
    )


def _check_unused(options: SubjectOptions, encoder: EncoderSpec, weights: Path, layout: str) -> None:
    """Refuse an encoder that was chosen, but that this layout does not use."""
    chosen = getattr(options, encoder.option)
    if chosen != getattr(SubjectOptions, encoder.option):
        raise UserError(
            f"`subject.{encoder.option}` {chosen} would not be used: {weights} has {layout}; leave "
            f"`subject.{encoder.option}` out"
        )


def _check_width(weights: Path, encoder: ImageEncoder, width: int) -> None:
    """Refuse an encoder with other embeddings than the adapter was trained with."""
    if encoder.width != width:
        raise UserError(
            f"`subject.weights` {weights}: trained for an embedding of width {width}, but that of {encoder.spec.name} "
            f"{encoder.model.name_or_path} has {encoder.width}; give the encoder that it was trained with as "
            f"`subject.{encoder.spec.option}`"
        )


def _place(modules: Iterable[nn.Module], device: torch.device, dtype: torch.dtype) -> None:
    nn.ModuleList(modules).to(device, dtype).eval().requires_grad_(False)


def _record(options: SubjectOptions, weights: Path, encoder: ImageEncoder) -> SubjectId:
    return SubjectId(replace(options, fingerprint=None), with_networks(file_fingerprint(weights), [encoder.model]))


def _load_clip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    from transformers import CLIPVisionModelWithProjection

    model = load_network(CLIP, CLIPVisionModelWithProjection, options.clip, device, dtype)
    width = int(model.config.projection_dim)
    return ImageEncoder(CLIP, model, lambda model, pixels: model(pixels).image_embeds, width)


def _load_pooled_siglip(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    from transformers import SiglipVisionModel

    model = load_network(SIGLIP, SiglipVisionModel, options.siglip, device, dtype)
    if not getattr(model.config, "vision_use_head", True):
        raise UserError(
            f"`subject.siglip` {options.siglip} has no pooling head, so it gives no embedding: use another SigLIP"
        )
    width = int(model.config.hidden_size)
    return ImageEncoder(SIGLIP, model, lambda model, pixels: model(pixels).pooler_output, width)


def _load_siglip_patches(options: SubjectOptions, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    from transformers import SiglipVisionModel

    model = load_network(SIGLIP, SiglipVisionModel, options.siglip, device, dtype)

    def read(model: Any, pixels: Tensor) -> Tensor:
        return model(pixels, output_hidden_states=True).hidden_states[-2]

    return ImageEncoder(SIGLIP, model, read, int(model.config.hidden_size))
