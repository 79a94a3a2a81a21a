"""How Stable Diffusion 3 lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragflow.backbones.configs import Config
from dragflow.backbones.depths import paper_kv, paper_taps
from dragflow.backbones.fit import check_fit, check_scaling
from dragflow.backbones.packing import PATCH
from dragflow.core.errors import UserError
from dragflow.method.backbone import BackboneSpec

TEXT_TOKENS = 256
"""Of T5, as the library's pipeline has it; both CLIPs read 77 besides."""


def spec_of(transformer: Any, stride: int) -> BackboneSpec:
    """The facts of an `SD3Transformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels."""
    config = transformer.config
    heads = config.num_attention_heads, config.attention_head_dim
    blocks = tuple(f"block.{i}" for i in range(config.num_layers))
    return BackboneSpec(
        family="sd3",
        latent_channels=config.in_channels,
        latent_stride=stride,
        pixel_multiple=stride * PATCH,
        blocks=blocks,
        tap_names=tuple(f"{block}.{part}" for block in blocks for part in ("norm", "out")),
        taps=tuple(f"{blocks[i]}.{part}" for i in paper_taps(len(blocks)) for part in ("norm", "out")),
        kv_blocks=tuple(blocks[i] for i in paper_kv(len(blocks))),
        kv_token_bytes=heads[0] * heads[1] * transformer.dtype.itemsize,
        second_attentions=len(config.dual_attention_layers),
        guidance="classifier-free",
        text_limit=TEXT_TOKENS,
        subject_heads=heads,
    )


def check_places(transformer: Any, grid: tuple[int, int], multiple: int) -> None:
    """Check that a model has places for a token grid (h, w).

    Raises:
        UserError: the picture is larger than the learned table of places.
    """
    most = transformer.config.pos_embed_max_size
    if max(grid) > most:
        h, w = (side * multiple for side in grid)
        raise UserError(
            f"the model sees the picture at {w} x {h}, and it has places for {most * multiple} pixels a side: choose a "
            "smaller `size.max_pixels`"
        )


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """Check that the networks' configurations, with defaults, fit each other; T5 may be absent.

    Raises:
        UserError: names part, key, value and rule.
    """
    transformer, vae = configs["transformer"], configs["vae"]
    clips = [configs[part] for part in ("text_encoder", "text_encoder_2")]
    wide, pooled = (sum(clip[key] for clip in clips) for key in ("hidden_size", "projection_dim"))
    t5 = configs.get("text_encoder_3")
    width = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    values = {
        "patch_size": (PATCH, "dragflow packs latents itself"),
        "in_channels": (vae["latent_channels"], "the latent_channels of the vae"),
        "out_channels": (vae["latent_channels"], "the latent_channels of the vae"),
        "caption_projection_dim": (width, "its num_attention_heads times attention_head_dim"),
        "pooled_projection_dim": (pooled, "projection_dim of text_encoder and of text_encoder_2"),
    }
    if t5 is not None:
        values["joint_attention_dim"] = (t5["d_model"], "d_model of text_encoder_3")
    narrow = transformer["joint_attention_dim"] < wide
    rule = f"it must be {wide} or more: hidden_size of both CLIPs together" if narrow else None
    check_fit(model, "transformer", transformer, values, {"joint_attention_dim": rule})
    check_scaling(model, vae)
