"""The layouts in which the embedded model can be trained: FLUX.1's, as `nano` is, and Stable Diffusion 3.5 medium's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from dragflow.backbones.flux1.layout import image_ids
from dragflow.backbones.hub import INDEX
from dragflow.backbones.packing import PATCH, pack, unpack
from dragflow.core.errors import UserError
from dragflow.train.text import PairedTextEncoders, TextConfig, TextEncoders

if TYPE_CHECKING:
    from dragflow.train.flow import FlowConfig

LayoutName = Literal["flux", "sd3"]
BASE_SHIFT, MAX_SHIFT = 0.5, 1.15
"""FLUX.1's, for 256 and 4096 image tokens."""


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

    def transformer(self, config: FlowConfig) -> nn.Module:
        """An untrained transformer."""
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

    def transformer(self, config: FlowConfig) -> nn.Module:
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

    def transformer(self, config: FlowConfig) -> nn.Module:
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
