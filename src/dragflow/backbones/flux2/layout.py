"""How FLUX.2 lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from dragflow.backbones.configs import Config
from dragflow.backbones.depths import paper_kv, paper_taps
from dragflow.backbones.fit import axes_rule, check_fit
from dragflow.backbones.packing import PATCH
from dragflow.method.backbone import BackboneSpec, Latent, Reference

TEXT_TOKENS = 512
_AXES = 4
"""Rotary axes: time, row, column, and the place in the text."""
_REFERENCE_STEP = 10
"""Between the times of the image and of each reference."""
_REFERENCES = 4
"""A choice: pictures are told apart by their times alone, and nothing in the files bounds how many there are."""


def spec_of(transformer: Any, stride: int, family: str) -> BackboneSpec:
    """The facts of a `Flux2Transformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels,
    but for its guidance, which the family knows.

    Latents here are patches of 2 x 2 of the autoencoder's, since it is as patches that they are normalised; so each is
    one token.
    """
    config = transformer.config
    doubles, singles = config.num_layers, config.num_single_layers
    blocks = (*(f"double.{i}" for i in range(doubles)), *(f"single.{i}" for i in range(singles)))
    return BackboneSpec(
        family=family,
        latent_channels=config.in_channels,
        latent_stride=PATCH * stride,
        pixel_multiple=PATCH * stride,
        blocks=blocks,
        tap_names=tuple(f"{block}.{part}" for block in blocks for part in ("norm", "out")),
        taps=tuple(f"{blocks[i]}.{part}" for i in paper_taps(len(blocks)) for part in ("norm", "out")),
        kv_blocks=tuple(blocks[i] for i in paper_kv(len(blocks))),
        kv_token_bytes=config.num_attention_heads * config.attention_head_dim * transformer.dtype.itemsize,
        text_limit=TEXT_TOKENS,
        references=_REFERENCES,
    )


def flat(z: Latent) -> Float[Tensor, "b n c"]:
    """Latents as tokens, row by row."""
    return rearrange(z, "b c h w -> b (h w) c")


def in_rows(tokens: Float[Tensor, "b n c"], h: int, w: int) -> Latent:
    """The inverse of `flat` for an h x w token grid."""
    return rearrange(tokens, "b (h w) c -> b c h w", h=h, w=w)


def image_ids(h: int, w: int, device: torch.device) -> Float[Tensor, "n 4"]:
    """Rotary positions (0, row, column, 0) of the image tokens."""
    rows, columns = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return F.pad(torch.stack([rows, columns], dim=-1).reshape(-1, 2).float(), (1, 1))


def reference_ids(reference: Reference) -> Float[Tensor, "n 4"]:
    """Rotary positions (time of the reference, row, column, 0) of its tokens."""
    return F.pad(F.pad(reference.positions, (1, 0), value=float(_REFERENCE_STEP * reference.index)), (0, 1))


def text_ids(count: int, device: torch.device) -> Float[Tensor, "m 4"]:
    """Rotary positions (0, 0, 0, place) of the tokens of a prompt."""
    return F.pad(torch.arange(count, device=device).float()[:, None], (_AXES - 1, 0))


def moments(vae: Any) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    """Mean and deviation of the autoencoder's patches, by which the model's latents are normalised."""
    mean, variance = vae.bn.running_mean, vae.bn.running_var
    deviation = torch.sqrt(variance.float() + vae.config.batch_norm_eps)
    return mean.float()[None, :, None, None], deviation[None, :, None, None]


def time_shift(tokens: int, steps: int) -> float:
    """The mu of the time shift, fitted by the model's authors to the number of tokens and of steps."""
    many = 0.00016927 * tokens + 0.45666666  # for 200 steps, and for any number of steps in large pictures
    if tokens > 4300:
        return many
    few = 8.73809524e-05 * tokens + 1.89833333  # for 10 steps
    return many + (few - many) * (200 - steps) / 190


def check_configs(
    model: str, configs: Mapping[str, Config], text_layers: Sequence[int], values: Mapping[str, tuple[Any, str]]
) -> None:
    """Check that the networks' configurations, with defaults, fit each other.

    Args:
        model: its name.
        configs: by the part's name.
        text_layers: of the text encoder, whose states are a prompt's tokens, side by side.
        values: what else the transformer's settings must be, and why.

    Raises:
        UserError: names part, key, value and rule.
    """
    transformer, vae, encoder = (configs[part] for part in ("transformer", "vae", "text_encoder"))
    channels = vae["latent_channels"]
    values = {
        **values,
        "patch_size": (1, "dragflow packs latents itself"),
        "in_channels": (
            channels * PATCH**2,
            f"{PATCH} x {PATCH} cells of the {channels} latent_channels of the vae",
        ),
        "joint_attention_dim": (
            len(text_layers) * encoder["hidden_size"],
            f"{len(text_layers)} times hidden_size of text_encoder",
        ),
    }
    head = transformer["attention_head_dim"]
    axes = axes_rule(transformer["axes_dims_rope"], _AXES, head, "its attention_head_dim")
    check_fit(model, "transformer", transformer, values, {"axes_dims_rope": axes})
    most = text_layers[-1]
    few = encoder["num_hidden_layers"] < most
    rule = f"it must be {most} or more, whose states are a prompt's tokens" if few else None
    check_fit(model, "text_encoder", encoder, {}, {"num_hidden_layers": rule})
