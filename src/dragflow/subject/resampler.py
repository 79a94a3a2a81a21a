"""A resampler that InstantX's adapters have in common: from features of a picture and a time to subject tokens.

Module and parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.core.errors import UserError
from dragflow.subject.attention import attend, split_heads
from dragflow.subject.checkpoint import layer_count, shape_of


@dataclass(frozen=True)
class ResamplerSize:
    """Every number of a resampler's architecture."""

    features: int
    """Channels of the features."""
    width: int
    """Width of the resampler."""
    depth: int
    """Layers of the resampler."""
    tokens: int
    """Subject tokens."""
    out: int
    """Width of a subject token."""
    head: int = 64
    """Width of one attention head, which no tensor's shape tells."""
    frequencies: int = 320
    """Length of the sinusoidal embedding of the time."""


def resampler_size(path: Path, tensors: Mapping[str, Tensor], prefix: str, wanted: str) -> ResamplerSize:
    """What the shapes of a checkpoint's tensors tell of its resampler.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of the checkpoint's.
        prefix: of the resampler's names.
        wanted: what to give in its place, as in "a checkpoint of InstantCharacter".

    Raises:
        UserError: a tensor is missing or cannot be that of a resampler.
    """

    def shape(name: str, axes: int = 2) -> tuple[int, ...]:
        return shape_of(path, tensors, f"{prefix}.{name}", axes, wanted)

    _, tokens, width = shape("latents", 3)
    size = ResamplerSize(
        features=shape("proj_in.weight")[1],
        width=width,
        depth=layer_count(tensors, f"{prefix}.layers"),
        tokens=tokens,
        out=shape("proj_out.weight")[0],
        frequencies=shape("time_embedding.linear_1.weight")[1],
    )
    check_heads(path, "resampler", size.width, size.head, wanted)
    return size


def check_heads(path: Path, part: str, width: int, head: int, wanted: str) -> None:
    """Check that the width of a part is that of one or more whole heads.

    Raises:
        UserError: it is not.
    """
    if width == 0 or width % head:
        raise UserError(
            f"`subject.weights` {path}: the width of the {part} is {width}, which is not a multiple of {head}, the "
            f"size of an attention head; give {wanted}"
        )


class Resampler(nn.Module):
    """Learned queries that attend to the fused features, each layer modulated by the time (Perceiver)."""

    def __init__(self, size: ResamplerSize) -> None:
        from diffusers.models.embeddings import TimestepEmbedding

        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, size.tokens, size.width))  # a checkpoint has the real ones
        self.proj_in = nn.Linear(size.features, size.width)
        self.proj_out = nn.Linear(size.width, size.out)
        self.norm_out = nn.LayerNorm(size.out)
        self.layers = nn.ModuleList(
            nn.ModuleList([_PerceiverAttention(size), _feed_forward(size.width), _modulation(size.width)])
            for _ in range(size.depth)
        )
        self.time_embedding = TimestepEmbedding(size.frequencies, size.width)
        self._frequencies = size.frequencies

    def forward(self, x: Float[Tensor, "b k d"], time: float | Float[Tensor, " b"]) -> Float[Tensor, "b q o"]:
        """Subject tokens at a time, or one for each subject."""
        embedded = self.embed(time)  # 1 w or b w
        # The time comes in twice: added to the features, which all layers share, and as each layer's modulation.
        x = self.proj_in(x) + embedded[:, None]
        latents = self.latents.expand(x.shape[0], -1, -1)
        for attention, feed_forward, modulation in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            shift, scale, shift_out, scale_out = modulation(embedded)[:, None].chunk(4, dim=-1)
            latents = latents + attention(x, latents, shift, scale)
            # The checkpoint's names make the norm a part of the feed-forward, but the modulation acts behind it.
            norm, *rest = feed_forward
            hidden = norm(latents) * (1 + scale_out) + shift_out
            for layer in rest:
                hidden = layer(hidden)
            latents = latents + hidden
        return self.norm_out(self.proj_out(latents))

    def embed(self, time: float | Float[Tensor, " b"]) -> Float[Tensor, "b w"]:
        """A time as every layer sees it, or one for each subject."""
        from diffusers.models.embeddings import get_timestep_embedding

        weight = self.proj_in.weight
        times = torch.as_tensor(time, device=weight.device).reshape(-1)
        # Cosines before sines, as the checkpoint was trained; float32 whatever the weights are, for large times.
        waves = get_timestep_embedding(times, self._frequencies, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.time_embedding(waves.to(weight.dtype))


class _PerceiverAttention(nn.Module):
    """Attention of the learned queries over the features and themselves."""

    def __init__(self, size: ResamplerSize) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.to_q = nn.Linear(size.width, size.width, bias=False)
        self.to_kv = nn.Linear(size.width, 2 * size.width, bias=False)
        self.to_out = nn.Linear(size.width, size.width, bias=False)
        self._heads = size.width // size.head

    def forward(self, x: Tensor, latents: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        # Only the queries are modulated, and so are their own keys and values; those of the features are not.
        latents = self.norm2(latents) * (1 + scale) + shift
        k, v = self.to_kv(torch.cat([self.norm1(x), latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (split_heads(y, self._heads) for y in (self.to_q(latents), k, v))
        return self.to_out(attend(q, (k, v)))


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )


def _modulation(width: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, 4 * width))
