"""What a loaded model can do to take less memory, which costs time alone."""

from __future__ import annotations

from typing import Any

from torch import nn

from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.swap import is_swapped, swap_blocks
from dragflow.backbones.vae import tile


def take_less_memory(backbone: PipelineBackbone) -> tuple[str, ...]:
    """Let a model take less memory from now on.

    First by all that is cheap; when that is done already, by blocks in main memory.

    Returns:
        What is done now, in words; nothing if all of it was done before.
    """
    pipeline: Any = backbone.pipeline
    accelerated, done = backbone.device.type != "cpu", list[str]()
    if not backbone.checkpointing:
        backbone.checkpointing = True
        done.append("activations are recomputed")
    if not getattr(pipeline.vae, "use_tiling", True):
        tile(pipeline.vae)
        done.append("pictures are decoded in tiles")
    if accelerated and not backbone.offload:
        backbone.offload = True
        for name, part in pipeline.components.items():
            if isinstance(part, nn.Module) and name != "transformer":
                part.to("cpu")
        done.append("encoders stay in main memory while they are idle")
    if accelerated and not done and not is_swapped(backbone.transformer):
        swap_blocks(backbone.transformer, backbone.device)
        done.append("blocks of the transformer stay in main memory, each until its turn")
    return tuple(done)
