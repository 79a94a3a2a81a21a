"""The layouts in which the embedded model can be trained: FLUX.1's, as `nano` is, and Stable Diffusion 3.5 medium's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from einops import rearrange
from torch import Tensor, nn

from dragflow.backbones.flux1.layout import image_ids
from dragflow.backbones.hub import INDEX
from dragflow.backbones.packing import PATCH, pack, unpack
from dragflow.core.errors import UserError
from dragflow.train.text import PairedTextEncoders, TextConfig, TextEncoders
from dragflow.train.vae import VaeConfig

LayoutName = Literal["flux", "sd3"]
BASE_SHIFT, MAX_SHIFT = 0.5, 1.15
"""FLUX.1's, for 256 and 4096 image tokens."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a flow model, and the layout that it has."""

    layout: LayoutName = "flux"
    double: int = 4
    single: int = 8
    axes: tuple[int, int, int] = (8, 28, 28)
    """Widths of the rotary places; with `double` and `single` FLUX.1's alone."""
    joint: int = 8
    dual: int = 3
    """Joint blocks that have a second attention, the first ones, as in 3.5 medium."""
    places: int = 64
    """Tokens along the side of the largest picture; with `joint` and `dual` Stable Diffusion 3's alone."""
    heads: int = 4
    head_width: int = 64
    text: TextConfig = field(default_factory=TextConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)


class Layout(Protocol):
    """What differs between families: the networks and how they are called."""

    @property
    def pipeline(self) -> str:
        """The class of diffusers that loads an exported folder."""
        ...

    @property
    def t5(self) -> str:
        """The part that is the T5 encoder."""
        ...

    def encoders(self, config: TextConfig) -> TextEncoders | PairedTextEncoders:
        """Untrained text encoders."""
        ...

    def transformer(self, config: Sizes) -> nn.Module:
        """An untrained transformer."""
        ...

    def inherit(self, transformer: nn.Module, tensors: dict[str, Tensor]) -> None:
        """Begin with what a transformer in the other layout has alike.

        Raises:
            UserError: it has other sizes, or nothing can be taken over.
        """
        ...

    def velocity(self, transformer: Any, z: Tensor, t: Tensor, pooled: Tensor, sequence: Tensor) -> Tensor:
        """What a transformer gives (b c h w) for latents (b k h w), times t (b), embedded captions (b d), (b n d)."""
        ...

    def shift(self) -> dict[str, Any]:
        """How the scheduler shifts times."""
        ...


class Flux:
    """FLUX.1: double and single blocks, rotary places."""

    pipeline = "FluxPipeline"
    t5 = "text_encoder_2"

    def encoders(self, config: TextConfig) -> TextEncoders:
        """See `Layout.encoders`."""
        return TextEncoders(config)

    def transformer(self, config: Sizes) -> nn.Module:
        """See `Layout.transformer`."""
        from diffusers import FluxTransformer2DModel

        return FluxTransformer2DModel(
            patch_size=1,
            in_channels=PATCH**2 * config.vae.channels,
            num_layers=config.double,
            num_single_layers=config.single,
            attention_head_dim=config.head_width,
            num_attention_heads=config.heads,
            joint_attention_dim=config.text.width,
            pooled_projection_dim=config.text.width,
            guidance_embeds=False,
            axes_dims_rope=config.axes,
        )

    def inherit(self, transformer: nn.Module, tensors: dict[str, Tensor]) -> None:
        """See `Layout.inherit`; nothing is taken over."""
        raise UserError("a model in layout flux can begin with one in layout flux alone: start from that instead")

    def velocity(self, transformer: Any, z: Tensor, t: Tensor, pooled: Tensor, sequence: Tensor) -> Tensor:
        """See `Layout.velocity`."""
        h, w = z.shape[-2] // PATCH, z.shape[-1] // PATCH
        v = transformer(
            hidden_states=pack(z),
            encoder_hidden_states=sequence,
            pooled_projections=pooled,
            timestep=t,
            img_ids=image_ids(h, w, z.device),
            txt_ids=torch.zeros(sequence.shape[1], 3, device=z.device),
            return_dict=False,
        )[0]
        return unpack(v, h, w)

    def shift(self) -> dict[str, Any]:
        """See `Layout.shift`: by the number of tokens."""
        return {
            "shift": 3.0,  # unused while the shift is dynamic; FLUX.1 has it
            "use_dynamic_shifting": True,
            "base_shift": BASE_SHIFT,
            "max_shift": MAX_SHIFT,
            "base_image_seq_len": 256,
            "max_image_seq_len": 4096,
        }


class SD3:
    """Stable Diffusion 3.5 medium: joint blocks, the first with a second attention; places are added, none rotary."""

    pipeline = "StableDiffusion3Pipeline"
    t5 = "text_encoder_3"

    def encoders(self, config: TextConfig) -> PairedTextEncoders:
        """See `Layout.encoders`."""
        return PairedTextEncoders(config)

    def transformer(self, config: Sizes) -> nn.Module:
        """See `Layout.transformer`."""
        from diffusers import SD3Transformer2DModel

        return SD3Transformer2DModel(
            sample_size=PATCH * config.places,  # places are then counted in tokens
            patch_size=PATCH,
            in_channels=config.vae.channels,
            out_channels=config.vae.channels,
            num_layers=config.joint,
            attention_head_dim=config.head_width,
            num_attention_heads=config.heads,
            joint_attention_dim=config.text.width,
            caption_projection_dim=config.heads * config.head_width,
            pooled_projection_dim=config.text.width,
            pos_embed_max_size=config.places,
            dual_attention_layers=tuple(range(config.dual)),
            qk_norm="rms_norm",
        )

    @torch.no_grad()
    def inherit(self, transformer: nn.Module, tensors: dict[str, Tensor]) -> None:
        """See `Layout.inherit`: embeddings, the last layer, and the double blocks as the first joint ones.

        The blocks then look without the rotary places that they had learnt with. The other joint blocks change nothing
        at first, as in a training from scratch.
        """
        own = transformer.state_dict()
        for end in ("weight", "bias"):
            name = f"proj_out.{end}"  # FLUX has the pixels of a patch last, this the channels
            tensors[name] = rearrange(tensors[name], "(c p) ... -> (p c) ...", p=PATCH**2)
            embedded = tensors.pop(f"x_embedder.{end}")
            tensors[f"pos_embed.proj.{end}"] = embedded.reshape(len(embedded), *own[f"pos_embed.proj.{end}"].shape[1:])
        for name, tensor in tensors.items():
            if name not in own:
                continue
            place = own[name][: len(tensor)]  # a second attention has modulations of its own, after the others
            if place.shape != tensor.shape:
                raise UserError(f"{name} of the model to start from does not fit: start from one of the same sizes")
            place[:] = tensor

    def velocity(self, transformer: Any, z: Tensor, t: Tensor, pooled: Tensor, sequence: Tensor) -> Tensor:
        """See `Layout.velocity`."""
        return transformer(
            hidden_states=z,
            encoder_hidden_states=sequence,
            pooled_projections=pooled,
            timestep=1000 * t,
            return_dict=False,
        )[0]

    def shift(self) -> dict[str, Any]:
        """See `Layout.shift`: always what FLUX.1 has for 256 tokens."""
        return {"shift": round(math.exp(BASE_SHIFT), 4)}


LAYOUTS: Mapping[LayoutName, Layout] = {"flux": Flux(), "sd3": SD3()}


def layout_of(folder: Path) -> LayoutName:
    """The layout of an exported folder.

    Raises:
        UserError: it is not an exported folder, or of another pipeline.
    """
    index = folder / INDEX
    pipeline = json.loads(index.read_text())["_class_name"] if index.exists() else None
    for name, layout in LAYOUTS.items():
        if layout.pipeline == pipeline:
            return name
    raise UserError(f"{folder} does not fit this model: start from a folder that this trainer exported")
