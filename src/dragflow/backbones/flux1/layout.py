"""How FLUX.1 lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.configs import Config
from dragflow.backbones.depths import at_share
from dragflow.backbones.fit import axes_rule, check_fit, check_scaling
from dragflow.backbones.packing import PATCH
from dragflow.method.backbone import BackboneSpec, Reference

# The paper's choice for the 19 + 38 blocks of FLUX.1 (Sec. 3.4); other sizes take the same share at the same depths,
# unless a sweep of their own has chosen better: nano, 4 + 8 (docs/world-bench.md). The taps are the last two double
# blocks.
_PAPER_BLOCKS = (19, 38)
_TAPPED_BLOCKS = 2
_PAPER_DOUBLE_KV, _PAPER_SINGLE_KV = (0, 7, 8, 9, 10, 18), (6, 9, 18, 23, 26, 31, 37)
_SWEPT_KV = {(4, 8): ("single.2", "single.4", "single.6")}


def image_ids(h: int, w: int, device: torch.device) -> Float[Tensor, "n 3"]:
    """Rotary positions (0, row, column) of the image tokens."""
    rows, columns = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()


def reference_ids(reference: Reference) -> Float[Tensor, "n 3"]:
    """Rotary positions (index, row, column) of the tokens of a reference."""
    return F.pad(reference.positions, (1, 0), value=float(reference.index))


def spec_of(transformer: Any, stride: int) -> BackboneSpec:
    """The facts of a `FluxTransformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels."""
    doubles, singles = transformer.config.num_layers, transformer.config.num_single_layers
    heads, head = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    taps = tuple(f"double.{i}.{part}" for i in range(doubles) for part in ("norm", "out"))
    return BackboneSpec(
        family="flux1",
        latent_channels=transformer.out_channels // PATCH**2,
        latent_stride=stride,
        pixel_multiple=stride * PATCH,
        blocks=(*(f"double.{i}" for i in range(doubles)), *(f"single.{i}" for i in range(singles))),
        tap_names=taps,
        taps=taps[-2 * _TAPPED_BLOCKS :],
        kv_blocks=kv_sites(doubles, singles),
        kv_token_bytes=heads * head * transformer.dtype.itemsize,
        guidance="embedded" if transformer.config.guidance_embeds else "none",
        subject_heads=(heads, head),
    )


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """Check that the networks' configurations, with defaults, fit each other.

    Raises:
        UserError: names part, key, value and rule.
    """
    channels = configs["vae"]["latent_channels"]
    why = f"{PATCH} x {PATCH} cells of the {channels} latent_channels of the vae"
    check_channels(model, configs, {"in_channels": (channels * PATCH**2, why)})


def check_channels(model: str, configs: Mapping[str, Config], channels: Mapping[str, tuple[int, str]]) -> None:
    """`check_configs` of a variant.

    Args:
        model: its name.
        configs: of the networks, with defaults.
        channels: the transformer's settings of channels, each with the value that it must have, and why.

    Raises:
        UserError: names part, key, value and rule.
    """
    transformer, vae, clip, t5 = (configs[part] for part in ("transformer", "vae", "text_encoder", "text_encoder_2"))
    values = {
        "patch_size": (1, "dragflow packs latents itself"),
        **channels,
        "joint_attention_dim": (t5["d_model"], "d_model of text_encoder_2"),
        "pooled_projection_dim": (clip["hidden_size"], "hidden_size of text_encoder"),
    }
    axes = axes_rule(transformer["axes_dims_rope"], 3, transformer["attention_head_dim"], "its attention_head_dim")
    check_fit(model, "transformer", transformer, values, {"axes_dims_rope": axes})
    check_scaling(model, vae)


def kv_sites(doubles: int, singles: int) -> tuple[str, ...]:
    """The blocks whose keys and values are injected in a model of so many double and single blocks."""
    if (doubles, singles) in _SWEPT_KV:
        return _SWEPT_KV[doubles, singles]
    kinds = {
        "double": at_share(_PAPER_DOUBLE_KV, _PAPER_BLOCKS[0], doubles),
        "single": at_share(_PAPER_SINGLE_KV, _PAPER_BLOCKS[1], singles),
    }
    return tuple(f"{kind}.{block}" for kind, blocks in kinds.items() for block in blocks)
