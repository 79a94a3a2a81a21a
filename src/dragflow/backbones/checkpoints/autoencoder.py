"""What the authors of autoencoders call their tensors: those of latent diffusion (arXiv 2112.10752), whom FLUX and SD3
follow, and those of Wan (arXiv 2503.20314), whom Qwen-Image follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dragflow.backbones.checkpoints.names import Naming

_RENAMED = (
    (r"^(encoder|decoder)\.(post_)?quant_conv\.", r"\2quant_conv."),
    (r"\bmid\.block_1\b", "mid_block.resnets.0"),
    (r"\bmid\.block_2\b", "mid_block.resnets.1"),
    (r"\bmid\.attn_1\.norm\b", "mid_block.attentions.0.group_norm"),
    (r"\bmid\.attn_1\.proj_out\b", "mid_block.attentions.0.to_out.0"),
    (r"\bmid\.attn_1\.([qkv])\b", r"mid_block.attentions.0.to_\1"),
    (r"\bdown\.(\d+)\.block\.(\d+)\b", r"down_blocks.\1.resnets.\2"),
    (r"\bdown\.(\d+)\.downsample\b", r"down_blocks.\1.downsamplers.0"),
    (r"\bup\.(\d+)\.block\.(\d+)\b", r"up_blocks.\1.resnets.\2"),
    (r"\bup\.(\d+)\.upsample\b", r"up_blocks.\1.upsamplers.0"),
    (r"\bnin_shortcut\b", "conv_shortcut"),
    (r"^(encoder|decoder)\.norm_out\b", r"\1.conv_norm_out"),
)

_WAN = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.head\.0\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.head\.2\.", r"\1.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.downsamples\.", ".down_blocks."),
)
"""Of Wan; the decoder's stages are apart, since diffusers numbers them otherwise."""


def naming_of(needed: Iterable[str]) -> Naming:
    """What the authors call the tensors of an autoencoder of diffusers."""
    names = tuple(needed)
    return _wan(names) if "decoder.norm_out.gamma" in names else _latent_diffusion(names)


def _latent_diffusion(needed: Iterable[str]) -> Naming:
    """They count the decoder's stages from its output."""
    numbers = [int(found[1]) for name in needed if (found := re.match(r"decoder\.up_blocks\.(\d+)\.", name))]
    last = max(numbers, default=0)

    def rename(name: str) -> str:
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        return re.sub(r"\bup_blocks\.(\d+)", lambda found: f"up_blocks.{last - int(found[1])}", name)

    return Naming(rename=rename)


def _wan(needed: Iterable[str]) -> Naming:
    """They count the decoder's layers through, where a stage's last one enlarges its picture."""
    stage = len({found[1] for name in needed if (found := re.match(r"decoder\.up_blocks\.0\.resnets\.(\d+)\.", name))})

    def layer(found: re.Match[str]) -> str:
        i, j = divmod(int(found[1]), stage + 1)
        return f"decoder.up_blocks.{i}." + (f"resnets.{j}." if j < stage else "upsamplers.0.")

    def rename(name: str) -> str:
        for pattern, new in _WAN:
            name = re.sub(pattern, new, name)
        return re.sub(r"^decoder\.upsamples\.(\d+)\.", layer, name)

    return Naming(rename=rename)
