"""IP-adapters for FLUX.1 that diffusers can load (XLabs' layout): a picture's tokens, read by the double blocks.

Modules come out of diffusers' own loader; what they add is what its `FluxIPAdapterAttnProcessor` adds, while the model
itself is left as it is. Nothing depends on the time: tokens, keys and values are computed at most once for a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.backbones.fingerprint import file_fingerprint
from dragflow.backbones.flux1 import Flux1
from dragflow.core.config import IdentityConfig
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.result import IdentityOptions, IdentityRecord
from dragflow.identity.attention import read, split
from dragflow.identity.checkpoint import check_tensors, read_tensors
from dragflow.identity.vision import Kind, as_picture, at_work, letterboxed, load_network, normalised
from dragflow.method.backbone import Backbone, Image, Projection

_SCALE = 0.7
"""Strength where the configuration names none."""
_CLIP = Kind("CLIP", "clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

_PARTS = ("image_proj", "ip_adapter")
_XLABS = {
    "image_proj.": "ip_adapter_proj_model.",
    "ip_adapter.": "double_blocks.",
    ".to_k_ip.": ".processor.ip_adapter_double_stream_k_proj.",
    ".to_v_ip.": ".processor.ip_adapter_double_stream_v_proj.",
}
"""Parts of names in diffusers, and what XLabs' files call them."""
_LARGE, _TOKENS = 65536, (4, 16)
"""Rows of the projection from which diffusers knows an adapter of 16 tokens; every other has 4."""


def load(options: IdentityOptions, weights: Path, backbone: Backbone, offload: bool) -> IpAdapter:
    """Load the adapter beside a model, on its device and in its dtype; see `load_identity`."""
    heads = backbone.spec.identity_heads
    if heads is None or not isinstance(backbone, Flux1):
        raise CapabilityError("identity adapter ip-adapter is loaded by a FLUX.1 of diffusers: use such a model")
    device, dtype = backbone.cache_device(0), getattr(torch, backbone.identity().dtype)
    projection, readers = _load_modules(weights, backbone.transformer)
    named = {f"double.{i}": reader.to(device, dtype) for i, reader in enumerate(readers)}
    clip = _load_clip(options.clip, torch.device("cpu") if offload else device, dtype)
    width = projection.image_embeds.in_features
    if clip.config.projection_dim != width:
        raise UserError(
            f"CLIP {options.clip} gives an embedding of width {clip.config.projection_dim}: identity weights {weights} "
            f"take {width}; use the encoder that they were trained with (--identity-clip)"
        )
    record = IdentityRecord(options, file_fingerprint(weights))
    return IpAdapter(clip, projection.to(device, dtype), named, heads[0], device, offload, record)


@dataclass(frozen=True, eq=False)
class IpAdapter:
    """The loaded adapter: an `IdentityAdapter`."""

    clip: Any
    projection: nn.Module
    """An embedding to tokens."""
    readers: dict[str, Any]
    """By block, each with `to_k_ip` and `to_v_ip`."""
    heads: int
    device: torch.device
    offload: bool
    record: IdentityRecord

    @torch.no_grad()
    def encode(self, image: Image) -> Likeness:
        """See `IdentityAdapter.encode`; letterboxed, never squashed or cropped."""
        picture = letterboxed(as_picture(image), int(self.clip.config.image_size))
        with at_work((self.clip,), self.device, offload=self.offload):
            seen = self.clip(normalised([picture], _CLIP, self.clip)).image_embeds
        return Likeness(self, self.projection(seen.to(self.device)), _SCALE)


@dataclass(frozen=True, eq=False)
class Likeness:
    """A subject as seen once: an `Identity`, and its own `IdentityControl`, since it is the same at all times."""

    adapter: IpAdapter
    tokens: Float[Tensor, "1 q o"]
    scale: float
    kv: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict[str, tuple[Tensor, Tensor]])
    place: Literal["block"] = "block"

    def under(self, config: IdentityConfig) -> Likeness:
        """See `Identity.under`; keys and values are those of every strength."""
        return replace(self, scale=_SCALE if config.scale is None else config.scale)

    def at(self, t: float) -> Likeness:
        """See `Identity.at`."""
        return self

    @property
    def blocks(self) -> frozenset[str]:
        """See `IdentityControl.blocks`; the double blocks."""
        return frozenset(self.adapter.readers)

    def __call__(self, block: str, query: Projection) -> Projection:
        """See `IdentityControl`."""
        if block not in self.kv:
            reader = self.adapter.readers[block]
            with torch.no_grad():
                k, v = (split(each[0](self.tokens), self.adapter.heads) for each in (reader.to_k_ip, reader.to_v_ip))
            self.kv[block] = k, v
        return self.scale * read(split(query, self.adapter.heads), self.kv[block])


def _load_modules(path: Path, transformer: Any) -> tuple[Any, list[Any]]:
    """Projection, and one reader for each double block, as diffusers' loader makes them; the model stays as it is.

    Raises:
        UserError: an unreadable file; a tensor missing, surplus or misshapen; made for another model.
        CapabilityError: a layout that diffusers' loader does not take for FLUX.
    """
    tensors = read_tensors(path)
    xlabs = any(name.startswith((_XLABS["image_proj."], _XLABS["ip_adapter."])) for name in tensors)
    spelled = _in_xlabs if xlabs else str
    shape = _projection_shape(path, tensors, spelled("image_proj.proj.weight"))
    wanted = _wanted(shape, transformer)
    check_tensors(path, tensors, {spelled(name): size for name, size in wanted.items()})
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for name in wanted:
        part, _, rest = name.partition(".")
        parts[part][rest] = tensors[spelled(name)]
    projection = transformer._convert_ip_adapter_image_proj_to_diffusers(parts["image_proj"])
    processors = transformer._convert_ip_adapter_attn_to_diffusers([parts])
    readers = [processor for name, processor in processors.items() if name.startswith("transformer_blocks.")]
    nn.ModuleList([projection, *readers]).eval().requires_grad_(False)
    return projection, readers


def _in_xlabs(name: str) -> str:
    for ours, theirs in _XLABS.items():
        name = name.replace(ours, theirs)
    return name


def _projection_shape(path: Path, tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name in tensors and tensors[name].ndim == 2:
        rows, columns = tensors[name].shape
        return rows, columns
    if "image_proj.proj.0.weight" in tensors:
        raise CapabilityError(
            f"identity weights {path} have InstantX's layout (a projection of two layers, an attention in every "
            "block): into FLUX diffusers loads IP-adapters of XLabs' layout alone; use one of those"
        )
    raise UserError(
        f"identity weights {path} have no matrix {name}: give the checkpoint of an IP-adapter for FLUX.1 in XLabs' "
        "layout"
    )


def _wanted(projection: tuple[int, int], transformer: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors for this model, by their names in diffusers."""
    width, inner = transformer.config.joint_attention_dim, transformer.inner_dim
    rows = width * _TOKENS[projection[0] == _LARGE]
    found: dict[str, tuple[int, ...]] = {
        "image_proj.proj.weight": (rows, projection[1]),
        "image_proj.proj.bias": (rows,),
        "image_proj.norm.weight": (width,),
        "image_proj.norm.bias": (width,),
    }
    for i in range(transformer.config.num_layers):
        for part in ("to_k_ip", "to_v_ip"):
            found[f"ip_adapter.{i}.{part}.weight"] = inner, width
            found[f"ip_adapter.{i}.{part}.bias"] = (inner,)
    return found


def _load_clip(model: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import CLIPVisionModelWithProjection

    return load_network(_CLIP, CLIPVisionModelWithProjection, model, device, dtype)
