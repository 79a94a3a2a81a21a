"""How Z-Image lays out its tokens, and the facts of a model that its configuration tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragflow.backbones.configs import Config
from dragflow.backbones.depths import paper_kv, paper_taps
from dragflow.backbones.fit import axes_rule, check_fit, check_scaling
from dragflow.backbones.packing import PATCH
from dragflow.method.backbone import BackboneSpec

TEXT_TOKENS = 512
MULTIPLE = 32
"""Image and caption are each padded to a multiple of so many tokens, with one of the model's that is attended to."""
PATCHING = f"{PATCH}-1"
"""Name of the layers for patches of 2 x 2 cells of one frame."""


def spec_of(transformer: Any, stride: int, *, distilled: bool = False) -> BackboneSpec:
    """The facts of a `ZImageTransformer2DModel` whose autoencoder makes one latent cell of stride x stride pixels.

    The refiners of the image run before the layers on image tokens alone, so they are blocks, too; neither features
    nor keys and values are taken of them by default.
    """
    config = transformer.config
    layers = tuple(f"layer.{i}" for i in range(config.n_layers))
    blocks = (*(f"refiner.{i}" for i in range(config.n_refiner_layers)), *layers)
    return BackboneSpec(
        family="z-image",
        latent_channels=config.in_channels,
        latent_stride=stride,
        pixel_multiple=stride * PATCH,
        blocks=blocks,
        tap_names=tuple(f"{block}.{part}" for block in blocks for part in ("norm", "out")),
        taps=tuple(f"{layers[i]}.{part}" for i in paper_taps(len(layers)) for part in ("norm", "out")),
        kv_blocks=tuple(layers[i] for i in paper_kv(len(layers))),
        kv_token_bytes=config.dim * transformer.dtype.itemsize,
        guidance="none" if distilled else "classifier-free",
        distilled=distilled,
        text_limit=TEXT_TOKENS,
    )


def padding(count: int) -> int:
    """How many tokens are added to so many."""
    return -count % MULTIPLE


def padded(tokens: Float[Tensor, "b n k"]) -> Float[Tensor, "b m k"]:
    """Tokens with copies of the last one at their end, in whose place the model's own is put later."""
    return torch.cat([tokens, tokens[:, -1:].expand(-1, padding(tokens.shape[1]), -1)], dim=1)


def caption_ids(count: int, device: torch.device) -> Int[Tensor, "m 3"]:
    """Rotary positions (place, 0, 0), from 1, of a caption's tokens with those that pad it."""
    places = torch.arange(1, count + padding(count) + 1, device=device)
    return torch.stack([places, torch.zeros_like(places), torch.zeros_like(places)], dim=-1)


def image_ids(h: int, w: int, caption: int, device: torch.device) -> Int[Tensor, "n 3"]:
    """Rotary positions (after the caption, row, column) of the image tokens; those that pad them are at (0, 0, 0)."""
    rows, columns = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    after = torch.full_like(rows, caption + padding(caption) + 1)
    ids = torch.stack([after, rows, columns], dim=-1).reshape(-1, 3)
    return torch.cat([ids, ids.new_zeros(padding(h * w), 3)])


def check_configs(model: str, configs: Mapping[str, Config]) -> None:
    """Check that the networks' configurations, with defaults, fit each other.

    Raises:
        UserError: names part, key, value and rule.
    """
    transformer, vae, encoder = (configs[part] for part in ("transformer", "vae", "text_encoder"))
    values = {
        "in_channels": (vae["latent_channels"], "the latent_channels of the vae"),
        "cap_feat_dim": (encoder["hidden_size"], "hidden_size of text_encoder"),
        "siglip_feat_dim": (None, "models that see pictures are not supported"),
    }
    patched = PATCH in transformer["all_patch_size"] and 1 in transformer["all_f_patch_size"]
    broken = {
        "all_patch_size": None if patched else f"it must have {PATCH}, and all_f_patch_size 1",
        "axes_dims": axes_rule(
            transformer["axes_dims"], 3, transformer["dim"] / transformer["n_heads"], "its dim over n_heads"
        ),
    }
    check_fit(model, "transformer", transformer, values, broken)
    check_scaling(model, vae)
