"""How Qwen-Image lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from dragflow.backbones.configs import Config
from dragflow.backbones.depths import paper_kv, paper_taps
from dragflow.backbones.fit import axes_rule, check_fit
from dragflow.backbones.packing import PATCH
from dragflow.core.errors import UserError
from dragflow.method.backbone import BackboneSpec, Reference

TEXT_TOKENS = 512
"""Most tokens after the system's part of a prompt, as `QwenImagePipeline` has it."""


def spec_of(transformer: Any, stride: int) -> BackboneSpec:
    """The facts of a `QwenImageTransformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels.

    Nothing in the files tells a distilled model from one that is not: what makes Qwen-Image fast is published as LoRAs.
    """
    config = transformer.config
    blocks = tuple(f"block.{i}" for i in range(config.num_layers))
    return BackboneSpec(
        family="qwen-image",
        latent_channels=config.in_channels // PATCH**2,
        latent_stride=stride,
        pixel_multiple=stride * PATCH,
        blocks=blocks,
        tap_names=tuple(f"{block}.{part}" for block in blocks for part in ("norm", "out")),
        taps=tuple(f"{blocks[i]}.{part}" for i in paper_taps(len(blocks)) for part in ("norm", "out")),
        kv_blocks=tuple(blocks[i] for i in paper_kv(len(blocks))),
        kv_token_bytes=config.num_attention_heads * config.attention_head_dim * transformer.dtype.itemsize,
        guidance="classifier-free",
        negative=" ",
        text_limit=TEXT_TOKENS,
    )


def stride_of(vae: Any) -> int:
    """Pixels along a side of one latent cell."""
    return 2 ** len(vae.config.temperal_downsample)


def moments(vae: Any, like: Tensor) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
    """Mean and deviation of the autoencoder's latents, by which the model's are normalised."""
    mean, deviation = (torch.tensor(x).to(like) for x in (vae.config.latents_mean, vae.config.latents_std))
    return mean[:, None, None], deviation[:, None, None]


def reference_rotary(pos_embed: Any, reference: Reference, grid: tuple[int, int]) -> Complex[Tensor, "n k"]:
    """The rotary embedding of a reference's tokens: (index, row, column), counted from the middle of the image.

    The library gives whole pictures only, each about its own middle; for one of the image's size in its own place this
    is the same, to the bit.

    Args:
        pos_embed: the transformer's.
        reference: whose tokens may be anywhere.
        grid: of the image's tokens (h, w).
    """
    h, w = grid
    table = torch.cat([pos_embed.pos_freqs, pos_embed.neg_freqs])  # row -1 is position -1
    middle = torch.tensor([h - h // 2, w - w // 2], device=reference.positions.device)
    rows, columns = (reference.positions.round().long() - middle).unbind(-1)
    axes = (torch.full_like(rows, reference.index), rows, columns)
    parts = table.to(rows.device).split([axis // 2 for axis in pos_embed.axes_dim], dim=1)
    return torch.cat([part[places] for part, places in zip(parts, axes, strict=True)], dim=1)


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """Check that the networks' configurations, with defaults, fit each other.

    Raises:
        UserError: names part, key, value and rule.
    """
    transformer, vae, encoder = (configs[part] for part in ("transformer", "vae", "text_encoder"))
    _check_vae(model, vae)
    channels = vae["z_dim"]
    hidden = (encoder["text_config"] or encoder).get("hidden_size")  # older files have both towers' settings in one
    values = {
        "patch_size": (PATCH, "dragflow packs latents itself"),
        "in_channels": (channels * PATCH**2, f"{PATCH} x {PATCH} cells of the {channels} channels (z_dim) of the vae"),
        "out_channels": (channels, "the channels (z_dim) of the vae"),
        "joint_attention_dim": (hidden, "hidden_size of text_encoder"),
        "guidance_embeds": (False, "diffusers cannot run such a model"),
        "use_additional_t_cond": (False, "models of layers are not supported"),
        "use_layer3d_rope": (False, "models of layers are not supported"),
    }
    axes = axes_rule(transformer["axes_dims_rope"], 3, transformer["attention_head_dim"], "its attention_head_dim")
    check_fit(model, "transformer", transformer, values, {"axes_dims_rope": axes})


def _check_vae(model: str, vae: Config) -> None:
    channels, stages = vae["z_dim"], len(vae["dim_mult"])
    lengths = {"latents_mean": channels, "latents_std": channels, "temperal_downsample": stages - 1}
    for key, length in lengths.items():
        if len(vae[key]) != length:
            raise UserError(
                f"model {model}: its vae has {len(vae[key])} values of {key} in its configuration: there must be "
                f"{length}; download or export the model again"
            )
    if not all(vae["latents_std"]):
        raise UserError(f"model {model}: its vae has 0 in its latents_std: none may be 0; download the model again")
