"""IP-adapters for FLUX.1 in XLabs' layout: modules come out of diffusers' own loader.

What they add is what its `FluxIPAdapterAttnProcessor` adds, while the model itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dragflow.method.backbone import SubjectPlace
from dragflow.subject.checkpoint import ATTENTIONS, PROJECTOR, check_tensors, matrix_shape
from dragflow.subject.ip_adapter.adapter import Reader

PLACE = SubjectPlace(normed=True, output="block")
_XLABS = {
    f"{PROJECTOR}.": "ip_adapter_proj_model.",
    f"{ATTENTIONS}.": "double_blocks.",
    ".to_k_ip.": ".processor.ip_adapter_double_stream_k_proj.",
    ".to_v_ip.": ".processor.ip_adapter_double_stream_v_proj.",
}
"""Parts of names in diffusers, and what XLabs' files call them."""
_LARGE, _TOKENS = 65536, (4, 16)
"""Rows of the projection from which diffusers knows an adapter of 16 tokens; every other has 4."""


def load_modules(
    path: Path, tensors: Mapping[str, Tensor], transformer: Any, heads: int
) -> tuple[Any, dict[str, Reader]]:
    """Projection, and one reader for each double block, as diffusers' loader makes them; the model stays as it is.

    Args:
        path: of the checkpoint, for errors.
        tensors: all of it, under XLabs' names or diffusers'.
        transformer: the FLUX of diffusers.
        heads: of its attentions.

    Raises:
        UserError: a tensor missing, surplus or misshapen; made for another model.
    """
    xlabs = any(name.startswith((_XLABS[f"{PROJECTOR}."], _XLABS[f"{ATTENTIONS}."])) for name in tensors)
    spelled = _in_xlabs if xlabs else str
    shape = matrix_shape(path, tensors, spelled(f"{PROJECTOR}.proj.weight"))
    wanted = _wanted(shape, transformer)
    check_tensors(path, tensors, {spelled(name): size for name, size in wanted.items()})
    parts: dict[str, dict[str, Tensor]] = {PROJECTOR: {}, ATTENTIONS: {}}
    for name in wanted:
        part, _, rest = name.partition(".")
        parts[part][rest] = tensors[spelled(name)]
    projection = transformer._convert_ip_adapter_image_proj_to_diffusers(parts[PROJECTOR])
    processors = transformer._convert_ip_adapter_attn_to_diffusers([parts])
    doubles = [processor for name, processor in processors.items() if name.startswith("transformer_blocks.")]
    readers = {f"double.{i}": Reader(each.to_k_ip[0], each.to_v_ip[0], heads) for i, each in enumerate(doubles)}
    return projection, readers


def _in_xlabs(name: str) -> str:
    for ours, theirs in _XLABS.items():
        name = name.replace(ours, theirs)
    return name


def _wanted(projection: tuple[int, int], transformer: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors for this model, by their names in diffusers."""
    width, inner = transformer.config.joint_attention_dim, transformer.inner_dim
    rows = width * _TOKENS[projection[0] == _LARGE]
    found: dict[str, tuple[int, ...]] = {
        f"{PROJECTOR}.proj.weight": (rows, projection[1]),
        f"{PROJECTOR}.proj.bias": (rows,),
        f"{PROJECTOR}.norm.weight": (width,),
        f"{PROJECTOR}.norm.bias": (width,),
    }
    for i in range(transformer.config.num_layers):
        for part in ("to_k_ip", "to_v_ip"):
            found[f"{ATTENTIONS}.{i}.{part}.weight"] = inner, width
            found[f"{ATTENTIONS}.{i}.{part}.bias"] = (inner,)
    return found
