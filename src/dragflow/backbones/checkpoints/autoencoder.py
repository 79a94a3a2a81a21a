"""What the authors of latent diffusion (arXiv 2112.10752), and those who follow them, call an autoencoder's tensors."""

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


def naming_of(needed: Iterable[str]) -> Naming:
    """What the authors call the tensors of a network of diffusers; they count the decoder's stages from its output."""
    numbers = [int(found[1]) for name in needed if (found := re.match(r"decoder\.up_blocks\.(\d+)\.", name))]
    last = max(numbers, default=0)

    def rename(name: str) -> str:
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        return re.sub(r"\bup_blocks\.(\d+)", lambda found: f"up_blocks.{last - int(found[1])}", name)

    return Naming(rename=rename)
