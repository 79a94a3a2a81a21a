"""What the authors of FLUX.1 call the tensors of its transformer."""

from __future__ import annotations

_DOUBLE, _SINGLE = "transformer_blocks.{}.attn.", "single_transformer_blocks.{}.attn."
_ENDS = ("scale", "weight")
"""The authors' own, and what ComfyUI saves."""

NORMS = {
    **{
        f"double_blocks.{{}}.{stream}_attn.norm.{which}_norm.{end}": f"{_DOUBLE}norm_{added}{which[0]}.weight"
        for stream, added in (("img", ""), ("txt", "added_"))
        for which in ("query", "key")
        for end in _ENDS
    },
    **{
        f"single_blocks.{{}}.norm.{which}_norm.{end}": f"{_SINGLE}norm_{which[0]}.weight"
        for which in ("query", "key")
        for end in _ENDS
    },
}
"""Norms, which no LoRA has; the layers are in `lora.py`."""
