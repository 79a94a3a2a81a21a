"""What the authors of Stable Diffusion 3 call the tensors of its transformer that are no layers'."""

from __future__ import annotations

_BLOCK = "transformer_blocks.{}."

NORMS = {
    "pos_embed": "pos_embed.pos_embed",
    **{f"x_embedder.proj.{end}": f"pos_embed.proj.{end}" for end in ("weight", "bias")},
    **{
        f"joint_blocks.{{}}.{attention}.ln_{which}.weight": f"{_BLOCK}{norm}{which}.weight"
        for attention, norm in {
            "x_block.attn": "attn.norm_",
            "x_block.attn2": "attn2.norm_",
            "context_block.attn": "attn.norm_added_",
        }.items()
        for which in "qk"
    },
}
"""Norms and the patches' embedding, which no LoRA has; the layers are in `lora.py`."""
