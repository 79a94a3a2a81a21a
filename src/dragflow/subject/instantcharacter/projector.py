"""InstantCharacter's projector: from image encoders' features of a subject to subject tokens, conditioned on the time.

Module and parameter names are those of the published checkpoint's `image_proj`. Only the resampler at its end depends
on the time; everything before it is computed once per subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dragflow.subject.attention import attend, split_heads


@dataclass(frozen=True, eq=False)
class SubjectFeatures:
    """Patch features of b subjects; the channels of all encoders are concatenated."""

    low_shallow: Float[Tensor, "b s d"]
    """Of the whole picture, the patches of three inner layers one after the other."""
    low_deep: Float[Tensor, "b n d"]
    """Of the whole picture, last layer."""
    high_deep: Float[Tensor, "b m d"]
    """Of 2 x 2 crops at twice the resolution, last layer."""


@dataclass(frozen=True)
class ProjectorSize:
    """Every number of a projector's architecture; the defaults are the published checkpoint's."""

    features: int = 2688
    """Channels of both encoders together."""
    blocks: int = 4
    """Transformer blocks across layers, and as many across scales."""
    width: int = 1280
    """Width of the resampler."""
    depth: int = 4
    """Layers of the resampler."""
    tokens: int = 1024
    """Subject tokens."""
    out: int = 4096
    """Width of a subject token."""
    head: int = 64
    """Width of one attention head, which no tensor's shape tells."""
    frequencies: int = 320
    """Length of the sinusoidal embedding of the time."""


class Projector(nn.Module):
    """Subject features and a time to subject tokens."""

    def __init__(self, size: ProjectorSize) -> None:
        super().__init__()
        self.cross_layer_blocks = _blocks(size)
        self.cross_scale_blocks = _blocks(size)
        self.proj = _Mlp(size.features)
        self.proj_cross_layer = _Mlp(size.features)
        self.proj_cross_scale = _Mlp(size.features)
        self.resampler = Resampler(size)

    def fuse(self, features: SubjectFeatures) -> Float[Tensor, "b k d"]:
        """What does not depend on the time: deep features attend to shallow ones, and to the higher resolution."""
        deep = features.low_deep
        layers = self.proj_cross_layer(_cross_attend(self.cross_layer_blocks, deep, features.low_shallow))
        scales = self.proj_cross_scale(_cross_attend(self.cross_scale_blocks, deep, features.high_deep))
        # Each result has tokens of its own, so k = 2 n; the deep features themselves are added to the second alone.
        return torch.cat([layers, self.proj(deep) + scales], dim=1)

    def forward(self, features: SubjectFeatures, time: float | Float[Tensor, " b"]) -> Float[Tensor, "b q o"]:
        """Subject tokens at a time (or one for each subject), in the scale that the checkpoint was trained with."""
        return self.resampler(self.fuse(features), time)


class Resampler(nn.Module):
    """Learned queries that attend to the fused features, each layer modulated by the time (Perceiver)."""

    def __init__(self, size: ProjectorSize) -> None:
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
        embedded = self._embed(time)  # 1 w or b w
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

    def _embed(self, time: float | Float[Tensor, " b"]) -> Float[Tensor, "b w"]:
        from diffusers.models.embeddings import get_timestep_embedding

        weight = self.proj_in.weight
        times = torch.as_tensor(time, device=weight.device).reshape(-1)
        # Cosines before sines, as the checkpoint was trained; float32 whatever the weights are, for large times.
        waves = get_timestep_embedding(times, self._frequencies, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.time_embedding(waves.to(weight.dtype))


class _PerceiverAttention(nn.Module):
    """Attention of the learned queries over the features and themselves."""

    def __init__(self, size: ProjectorSize) -> None:
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


class _Mlp(nn.Module):
    """Two layers, back to the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def _blocks(size: ProjectorSize) -> nn.ModuleList:
    from diffusers.models.attention import BasicTransformerBlock

    heads = size.features // size.head
    return nn.ModuleList(
        BasicTransformerBlock(size.features, heads, size.head, cross_attention_dim=size.features)
        for _ in range(size.blocks)
    )


def _cross_attend(blocks: Iterable[nn.Module], x: Tensor, context: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, encoder_hidden_states=context)
    return x


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )


def _modulation(width: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, 4 * width))
