"""IP-adapters for FLUX.1 in XLabs' layout, whose modules diffusers' own loader makes.

They add what diffusers' `FluxIPAdapterAttnProcessor` adds, while the model itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dragflow.method.backbone import SubjectPlace
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors, shape_of
from dragflow.subject.ip_adapter.adapter import FLUX1_LAYOUTS, TokenKV

PLACE = SubjectPlace(normed=True, output="block")
_XLABS_PREFIXES = {f"{PROJECTOR}.": "ip_adapter_proj_model.", f"{ATTENTIONS}.": "double_blocks."}
_XLABS_PARTS = _XLABS_PREFIXES | {
    ".to_k_ip.": ".processor.ip_adapter_double_stream_k_proj.",
    ".to_v_ip.": ".processor.ip_adapter_double_stream_v_proj.",
}
"""Parts of names in diffusers, and in XLabs' files."""
_ROWS_OF_16_TOKENS = 65536
"""Rows of the projection by which diffusers' loader recognises an adapter of 16 tokens; any other has 4."""


def load_modules(
    path: Path, tensors: Mapping[str, Tensor], transformer: Any, heads: int
) -> tuple[Any, dict[str, TokenKV]]:
    """Projection, and keys and values for each double block, as diffusers' loader makes them.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of the checkpoint's, under XLabs' names or diffusers'.
        transformer: the FLUX of diffusers, which is left as it is.
        heads: of its attentions.

    Raises:
        UserError: the checkpoint was made for another model.
    """
    has_xlabs_names = any(name.startswith(tuple(_XLABS_PREFIXES.values())) for name in tensors)
    file_name = _xlabs_name if has_xlabs_names else str
    rows, columns = shape_of(path, tensors, file_name(f"{PROJECTOR}.proj.weight"), 2, FLUX1_LAYOUTS)
    shapes = _expected_shapes((rows, columns), transformer)
    check_tensors(path, tensors, {file_name(name): shape for name, shape in shapes.items()})
    parts: dict[str, dict[str, Tensor]] = {PROJECTOR: {}, ATTENTIONS: {}}
    for name in shapes:
        part, _, rest = name.partition(".")
        parts[part][rest] = tensors[file_name(name)]
    projection = transformer._convert_ip_adapter_image_proj_to_diffusers(parts[PROJECTOR])
    processors = transformer._convert_ip_adapter_attn_to_diffusers([parts])
    doubles = [processor for name, processor in processors.items() if name.startswith("transformer_blocks.")]
    token_kv = {f"double.{i}": TokenKV(each.to_k_ip[0], each.to_v_ip[0], heads) for i, each in enumerate(doubles)}
    return projection, token_kv


def _xlabs_name(name: str) -> str:
    for ours, theirs in _XLABS_PARTS.items():
        name = name.replace(ours, theirs)
    return name


def _expected_shapes(projection: tuple[int, int], transformer: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors for this model, by their names in diffusers."""
    width, inner = transformer.config.joint_attention_dim, transformer.inner_dim
    rows = width * (16 if projection[0] == _ROWS_OF_16_TOKENS else 4)
    shapes: dict[str, tuple[int, ...]] = {
        f"{PROJECTOR}.proj.weight": (rows, projection[1]),
        f"{PROJECTOR}.proj.bias": (rows,),
        f"{PROJECTOR}.norm.weight": (width,),
        f"{PROJECTOR}.norm.bias": (width,),
    }
    for i in range(transformer.config.num_layers):
        for part in ("to_k_ip", "to_v_ip"):
            shapes[f"{ATTENTIONS}.{i}.{part}.weight"] = inner, width
            shapes[f"{ATTENTIONS}.{i}.{part}.bias"] = (inner,)
    return shapes
