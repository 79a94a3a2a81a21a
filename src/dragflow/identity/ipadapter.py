"""Loading an IP-adapter for FLUX.1: which layout its checkpoint has, and the encoder that this layout takes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dragflow.backbones.fingerprint import file_fingerprint, with_networks
from dragflow.backbones.flux1 import Flux1
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.result import IdentityOptions, IdentityRecord
from dragflow.identity import instantx, xlabs
from dragflow.identity.checkpoint import read_tensors
from dragflow.identity.encoders import SIGLIP
from dragflow.identity.likeness import Eye, IpAdapter
from dragflow.identity.vision import Kind, load_network
from dragflow.method.backbone import Backbone

_CLIP = Kind("CLIP", "clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def load(options: IdentityOptions, weights: Path, backbone: Backbone, offload: bool) -> IpAdapter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_identity`."""
    heads = backbone.spec.identity_heads
    if heads is None or not isinstance(backbone, Flux1):
        raise CapabilityError("identity adapter ip-adapter acts in a FLUX.1 of diffusers: use such a model")
    device, dtype = backbone.cache_device(0), getattr(torch, backbone.identity().dtype)
    home = torch.device("cpu") if offload else device
    tensors = read_tensors(weights)
    if instantx.has_layout(tensors):
        projection, readers = instantx.load_modules(weights, tensors, backbone.spec, heads)
        place, load_eye, takes = instantx.PLACE, _load_siglip, projection.proj[0].in_features
        _refuse(options, _CLIP, weights, "InstantX's layout, which takes SigLIP")
    else:
        projection, readers = xlabs.load_modules(weights, tensors, backbone.transformer, heads[0])
        place, load_eye, takes = xlabs.PLACE, _load_clip, projection.image_embeds.in_features
        _refuse(options, SIGLIP, weights, "XLabs' layout, which takes CLIP")
    eye, gives = load_eye(options, home, dtype)
    if gives != takes:
        raise UserError(
            f"{eye.kind.name} {eye.model.name_or_path} gives an embedding of width {gives}: identity weights {weights} "
            f"take {takes}; use the encoder that they were trained with (--identity-{eye.kind.option})"
        )
    nn.ModuleList([projection, *readers.values()]).to(device, dtype).eval().requires_grad_(False)
    record = IdentityRecord(options, with_networks(file_fingerprint(weights), [eye.model]))
    return IpAdapter(eye, projection, readers, heads[0], place, device, offload, record)


def _refuse(options: IdentityOptions, kind: Kind, weights: Path, layout: str) -> None:
    """An encoder that was chosen, and that this layout has no use for."""
    chosen = getattr(options, kind.option)
    if chosen != getattr(IdentityOptions, kind.option):
        raise UserError(
            f"identity weights {weights} are in {layout}: {chosen} is not used, leave --identity-{kind.option} out"
        )


def _load_clip(options: IdentityOptions, device: torch.device, dtype: torch.dtype) -> tuple[Eye, int]:
    """The encoder, and the width of its embedding."""
    from transformers import CLIPVisionModelWithProjection

    model = load_network(_CLIP, CLIPVisionModelWithProjection, options.clip, device, dtype)
    return Eye(_CLIP, model, "image_embeds"), int(model.config.projection_dim)


def _load_siglip(options: IdentityOptions, device: torch.device, dtype: torch.dtype) -> tuple[Eye, int]:
    """The encoder, and the width of its embedding."""
    from transformers import SiglipVisionModel

    model = load_network(SIGLIP, SiglipVisionModel, options.siglip, device, dtype)
    if not getattr(model.config, "vision_use_head", True):
        raise UserError(f"SigLIP {options.siglip} has no head, which gives the embedding: choose another")
    return Eye(SIGLIP, model, "pooler_output"), int(model.config.hidden_size)
