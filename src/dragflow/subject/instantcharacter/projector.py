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

from dragflow.subject.resampler import Resampler, ResamplerSize


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
class ProjectorSize(ResamplerSize):
    """Every number of a projector's architecture; the defaults are the published checkpoint's."""

    features: int = 2688
    """Channels of both encoders together."""
    width: int = 1280
    depth: int = 4
    tokens: int = 1024
    out: int = 4096
    blocks: int = 4
    """Transformer blocks across layers, and as many across scales."""


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
