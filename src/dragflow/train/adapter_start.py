"""Initial weights of the adapter: subject tokens that *are* patches and places, and keys that match the queries.

With random weights the attention over the tokens is nearly uniform, distinguishes nothing, and learns next to nothing.
So: the encoder projects patches onto their principal components and adds a sinusoidal place, every layer above it
starts as the identity, subject token j attends to patch j, and a block's keys are the ridge regression of the tokens on
the queries that the frozen model makes at their places. Values start at zero, so the first step starts at the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL.Image import Image as Picture
from torch import Tensor, nn

from dragflow.subject.instantcharacter.attention import SubjectAttention

_SHARPNESS = 2.5
"""Of the attention of a token to its own patch."""
_RIDGE = 0.01
_TEMPERATURE = 4.0
"""Of the keys; of 1, 2, 4, 8 and 16 the one with which queries at t = 0.8 recover most of their own patch."""


@torch.no_grad()
def start_encoder(encoder: Any, pictures: Sequence[Picture]) -> None:
    """Patch embedding = principal components of patches (one half of the channels); the other half is the place."""
    vision = getattr(encoder, "vision_model", encoder)
    config = encoder.config
    patch, half, cells = config.patch_size, config.hidden_size // 2, config.image_size // config.patch_size
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 127.5 - 1
    patches = rearrange(pixels, "b (h p) (w q) c -> (b h w) (c p q)", p=patch, q=patch).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    components = vectors.flip(1)[:, :half] / values.flip(0)[:half].clamp_min(1e-6).pow(0.25)
    components /= ((patches - mean) @ components).square().mean().sqrt()
    embedding = vision.embeddings.patch_embedding
    embedding.weight.zero_()
    embedding.bias.zero_()
    embedding.weight[:half] = rearrange(components.T, "k (c p q) -> k c p q", p=patch, q=patch).float()
    embedding.bias[:half] = -(mean @ components).float()
    vision.embeddings.position_embedding.weight.zero_()
    vision.embeddings.position_embedding.weight[:, half:] = places(cells, half)
    for layer in vision.encoder.layers:
        _silence(layer.self_attn.out_proj, layer.mlp.fc2)


@torch.no_grad()
def start_projector(projector: Any, cells: int) -> None:
    """Make every part the identity, but the resampler's first attention, by which token j copies the patch at place j.

    Args:
        projector: a `Projector` of cells ** 2 tokens.
        cells: patches on a side of the encoder's picture.
    """
    for block in (*projector.cross_layer_blocks, *projector.cross_scale_blocks):
        _silence(block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2])
    for mlp in (projector.proj, projector.proj_cross_layer, projector.proj_cross_scale):
        eye = torch.eye(mlp.fc2.out_features)
        mlp.fc1.weight.copy_(torch.cat([eye, -eye]))  # gelu(x) - gelu(-x) = x
        mlp.fc2.weight.copy_(torch.cat([eye, -eye], dim=1))
        mlp.fc1.bias.zero_()
    _silence(projector.proj_cross_scale.fc2)
    resampler = projector.resampler
    nn.init.eye_(resampler.proj_in.weight)
    nn.init.eye_(resampler.proj_out.weight)
    _silence(resampler.time_embedding.linear_2)
    for projection in (resampler.proj_in, resampler.proj_out):
        projection.bias.zero_()
    for _, feed_forward, modulation in resampler.layers:
        _silence(feed_forward[-1], modulation[-1])
    half = resampler.proj_in.in_features // 2
    resampler.latents.zero_()
    resampler.latents[0, :, half : 2 * half] = -places(cells, half)  # the query negates them again
    first, *others = (attention for attention, _, _ in resampler.layers)
    for attention in others:
        _silence(attention.to_out)
    _attend_to_own_place(first, half)


@torch.no_grad()
def start_keys(attention: SubjectAttention, queries: Tensor, tokens: Tensor) -> None:
    """Keys that fit the queries made where a token's patch is, and values of zero.

    Args:
        attention: of one block.
        queries: (n, w) of the frozen model, before norm.
        tokens: (n, o), the subject token at the place of each.
    """
    q = attention.norm_ip_q(rearrange(queries, "n (h d) -> n h d", d=len(attention.norm_ip_q.scale)))
    y = tokens - tokens.mean(0)
    weights = []
    for head in range(q.shape[1]):
        x = q[:, head] - q[:, head].mean(0)
        gram = x.T @ x
        gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
        weights.append(torch.linalg.solve(gram, x.T @ y))  # d o: predicts the token
    attention.to_k_ip.weight.copy_(torch.cat(weights))
    attention.to_k_ip.bias.copy_(-attention.to_k_ip.weight @ tokens.mean(0))
    attention.norm_ip_k.scale.fill_(_TEMPERATURE)
    _silence(attention.to_v_ip)


def places(cells: int, width: int) -> Tensor:
    """Sinusoidal embedding of the places of a square grid, row by row (cells ** 2, width), mean square 1/2."""
    count = width // 4
    frequencies = math.pi / cells * torch.arange(1, count + 1)
    angles = (torch.arange(cells) + 0.5)[:, None] * frequencies  # cells count
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = axis.repeat_interleave(cells, dim=0), axis.repeat(cells, 1)
    return torch.cat([rows, columns], dim=1)


def _attend_to_own_place(attention: Any, half: int) -> None:
    width = attention.to_q.in_features
    head = width // attention._heads
    for projection in (attention.to_q, attention.to_kv, attention.to_out):
        projection.weight.mul_(0.1)
    place = torch.zeros(head, width)
    place[:half, half : 2 * half] = _SHARPNESS / half**0.25 * torch.eye(half)
    content = torch.zeros(head, width)
    content[:half, :half] = torch.eye(half)
    attention.to_q.weight[:head] = -place  # so that the queries do not find each other
    attention.to_kv.weight[:head] = place
    attention.to_kv.weight[width : width + head] = content
    attention.to_out.weight[:, :head] = content.T


def _silence(*layers: Any) -> None:
    for layer in layers:
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
